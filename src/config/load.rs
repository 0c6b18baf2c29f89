//! Merging the layers into a configuration.

use std::path::Path;

use figment::Figment;
use figment::value::{Dict, Value};

use super::check::{Tree, from_figment};
use super::describe::Loaded;
use super::error::{ConfigError, Problem};
use super::layers::{Layer, insert};
use super::sources::Sources;
use super::{Config, SecretSources, StorageUrl, file, labels, secret_sources};

impl Config {
    /// Merges built-in defaults, file, environment and command line, in ascending precedence, and checks the result.
    ///
    /// A file that has a `labels` section replaces the default labels: whoever lists labels means those. Environment
    /// and command line change single keys of whatever catalog is in force. Elsewhere layers merge key by key; a list
    /// replaces a list.
    ///
    /// # Errors
    /// [`ConfigError::File`] where the file cannot be read, [`ConfigError::Refused`] with every problem found.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut problems = Vec::new();
        let mut defaults = default_values()?;
        let mut figment = Figment::new();
        let path = sources.file()?;
        if let Some(path) = &path {
            let values = file::read(path)?;
            if values.contains_key(labels::SECTION) {
                defaults.remove(labels::SECTION);
            }
            let layer = Layer::file(path.clone(), values);
            // On its own first: a section that is no section would vanish under one of a later layer.
            problems.extend(Tree::new(Figment::from(&layer))?.problems());
            figment = figment.merge(&Layer::defaults(defaults)).merge(&layer);
        } else {
            figment = figment.merge(&Layer::defaults(defaults));
        }
        figment = figment.merge(&Layer::environment(sources.env().iter(), &mut problems));
        figment = figment.merge(&Layer::command_line(sources.overrides().iter(), &mut problems));
        let derived = derived_values(&Tree::new(figment.clone())?);
        figment = figment.join(&Layer::defaults(derived));

        let tree = Tree::new(figment)?;
        for problem in tree.problems() {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        // Rules across keys are checked on sound values only: they would repeat what was just said.
        refuse(problems)?;
        refuse(tree.incomplete_labels())?;
        refuse(secret_sources::contradictions(&tree))?;
        let sections = Figment::from(&Layer::defaults(tree.sections()));
        let mut config: Config = sections.extract().map_err(|e| ConfigError::Refused(vec![tree.located(&e)]))?;
        config.secret_sources = SecretSources::of(&tree);
        if config.secret_sources.of_key("storage.url").is_some() {
            config.storage.url = StorageUrl::unread();
        }
        refuse(tree.broken_rules(&config))?;
        Ok(Loaded::new(config, path, &tree))
    }
}

fn refuse(problems: Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Refused(problems)) }
}

/// [`Config::default`] as values. What is derived from other keys, and what is unset, is not among them.
fn default_values() -> Result<Dict, ConfigError> {
    let value = Value::serialize(Config::default()).map_err(|e| ConfigError::Refused(vec![from_figment(&e)]))?;
    let mut dict = value.into_dict().unwrap_or_default();
    drop_unset(&mut dict);
    Ok(dict)
}

fn drop_unset(dict: &mut Dict) {
    dict.retain(|_, value| !matches!(value, Value::Empty(..)));
    for value in dict.values_mut() {
        if let Value::Dict(_, inner) = value {
            drop_unset(inner);
        }
    }
}

/// Defaults that depend on other values.
fn derived_values(tree: &Tree) -> Dict {
    let mut dict = Dict::new();
    if let Some(data_dir) = tree.get(&["data_dir"]).and_then(Value::as_str) {
        let url = StorageUrl::in_dir(Path::new(data_dir));
        insert(&mut dict, &["storage", "url"], Value::from(url.expose()));
    }
    for label in tree.names(&[labels::SECTION]) {
        // Only below what is a group: beside anything else there is no place for them.
        if tree.get(&[labels::SECTION, label]).is_some_and(|entry| entry.as_dict().is_some()) {
            insert(&mut dict, &[labels::SECTION, label, "kind"], Value::from(labels::DEFAULT_KIND));
            insert(&mut dict, &[labels::SECTION, label, "description"], Value::from(labels::DEFAULT_DESCRIPTION));
        }
    }
    dict
}
