//! What is in effect and where it came from, for the `config` command.

use std::path::PathBuf;

use super::Config;
use super::check::Tree;
use super::error::{Origin, shown};
use super::key::{ANY, Key};
use super::secret_sources::SECRETS;

/// A valid configuration and the origin of each of its values.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    entries: Vec<Entry>,
}

/// One effective key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Dotted path.
    pub key: String,
    /// Its value as text; `(redacted)` for a secret, `(read from KEY)` for one that is somewhere else, `(unset)` and
    /// `(none)` where there is nothing.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl Loaded {
    pub(super) fn new(config: Config, file: Option<PathBuf>, tree: &Tree) -> Self {
        let mut entries = Vec::new();
        let mut described_labels = false;
        for key in super::keys() {
            let path: Vec<_> = key.path().split('.').collect();
            if !path.contains(&ANY) {
                entries.push(entry(key, &path, tree));
            } else if !described_labels {
                // All keys of one label, then all of the next: that is how a person reads a catalog.
                described_labels = true;
                entries.extend(label_entries(tree));
            }
        }
        for secret in &SECRETS {
            let Some((key, _)) = config.secret_sources.setting(secret) else { continue };
            let origin = entries.iter().find(|entry| entry.key == key).map(|entry| entry.origin.clone());
            if let (Some(entry), Some(origin)) = (entries.iter_mut().find(|entry| entry.key == secret.key), origin) {
                *entry = Entry { key: secret.key.to_owned(), value: format!("(read from {key})"), origin };
            }
        }
        Self { config, file, entries }
    }

    /// Every effective key in the order of the documentation.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Aligned lines of key, value and origin, secrets redacted.
    #[must_use]
    pub fn describe(&self) -> String {
        let rows: Vec<_> =
            self.entries.iter().map(|entry| (&entry.key, shown(&entry.value), entry.origin.to_string())).collect();
        let width = |length: fn(&(&String, String, String)) -> usize| rows.iter().map(length).max().unwrap_or_default();
        let keys = width(|(key, ..)| key.chars().count());
        let values = width(|(_, value, _)| value.chars().count());
        rows.iter().map(|(key, value, origin)| format!("{key:keys$}  {value:values$}  {origin}\n")).collect()
    }

    /// The configuration as a JSON file that can be loaded, without secrets but with where they are. A store's address is left out where it
    /// holds credentials.
    ///
    /// # Errors
    /// As `serde_json`, which can write every configuration.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        let mut json = serde_json::to_value(&self.config)?;
        let url = &self.config.storage.url;
        let sources = &self.config.secret_sources;
        if url.to_string() == url.expose()
            && sources.of_key("storage.url").is_none()
            && let Some(storage) = json.get_mut("storage").and_then(serde_json::Value::as_object_mut)
        {
            storage.insert("url".to_owned(), url.expose().into());
        }
        for (key, place) in SECRETS.iter().filter_map(|secret| sources.setting(secret)) {
            if let Some((section, name)) = key.split_once('.')
                && let Some(section) = json.get_mut(section).and_then(serde_json::Value::as_object_mut)
            {
                section.insert(name.to_owned(), place.into());
            }
        }
        Ok(json)
    }
}

fn label_entries(tree: &Tree) -> Vec<Entry> {
    let mut entries = Vec::new();
    for label in tree.names(&[super::labels::SECTION]) {
        for key in super::labels::KEYS {
            let path: Vec<_> = key.path().split('.').map(|name| if name == ANY { label } else { name }).collect();
            entries.push(entry(key, &path, tree));
        }
    }
    entries
}

fn entry(key: &Key, path: &[&str], tree: &Tree) -> Entry {
    let (value, origin) = match tree.get(path) {
        None => ("(unset)".to_owned(), Origin::Default),
        Some(value) => {
            let empty = value.as_array().is_some_and(<[_]>::is_empty);
            let text = match key.show(value) {
                _ if empty && key.is_secret() => "(unset)".to_owned(),
                _ if empty => "(none)".to_owned(),
                None => "(redacted)".to_owned(),
                Some(text) => text,
            };
            (text, tree.origin(value.tag(), path))
        }
    };
    Entry { key: path.join("."), value, origin }
}
