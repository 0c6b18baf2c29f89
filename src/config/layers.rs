//! The layers figment merges, and how each remembers where its values came from.

use std::ffi::OsString;
use std::path::PathBuf;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use super::error::{Finding, Origin, Problem};
use super::key::{self, ENV_PREFIX, Found, env_name, find, names_below};

const ENVIRONMENT: &str = "environment";
const COMMAND_LINE: &str = "command line";

/// Values with one origin.
pub(super) struct Layer {
    dict: Dict,
    source: Option<Source>,
}

impl Layer {
    pub(super) fn defaults(dict: Dict) -> Self {
        Self { dict, source: None }
    }

    pub(super) fn file(path: PathBuf, dict: Dict) -> Self {
        Self { dict, source: Some(Source::File(path)) }
    }

    /// Variables that set keys. An empty variable counts as unset, as `${VARIABLE:-}` in a compose file means it.
    pub(super) fn environment<'a>(
        variables: impl Iterator<Item = (&'a String, &'a OsString)>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut dict = Dict::new();
        for (name, value) in variables {
            let rest = name.strip_prefix(ENV_PREFIX).unwrap_or_default();
            if value.is_empty() || is_service_link(rest, value) {
                continue;
            }
            let lower = rest.to_ascii_lowercase();
            let path: Vec<_> = lower.split("__").collect();
            let origin = Origin::Env(name.clone());
            // Other spellings of a name would be other variables for the same key.
            let exact = env_name(path.iter().copied()) == *name;
            match (find(&path), value.to_str()) {
                (Found::Key(key), Some(text)) if exact => insert(&mut dict, &path, key.read(text)),
                (Found::Key(key), None) if exact => problems.push(Problem {
                    key: path.join("."),
                    found: Finding::Hidden,
                    expected: format!("{}, in UTF-8", key.expected()),
                    origin,
                }),
                (found, _) => problems.push(unknown_variable(name, &path, found, origin)),
            }
        }
        Self { dict, source: Some(Source::Custom(ENVIRONMENT.to_owned())) }
    }

    /// Overrides of the command line.
    pub(super) fn command_line<'a>(
        overrides: impl Iterator<Item = (&'a String, &'a String)>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut dict = Dict::new();
        for (name, text) in overrides {
            let path: Vec<_> = name.split('.').collect();
            match find(&path) {
                Found::Key(key) => insert(&mut dict, &path, key.read(text)),
                Found::Group | Found::Nothing => problems.push(unknown_key(&path, Origin::CommandLine)),
            }
        }
        Self { dict, source: Some(Source::Custom(COMMAND_LINE.to_owned())) }
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        let metadata = Metadata::named("configuration");
        match &self.source {
            Some(source) => metadata.source(source.clone()),
            None => metadata,
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Where the value of a key came from, by what its layer left with figment.
pub(super) fn origin(metadata: Option<&Metadata>, path: &[&str]) -> Origin {
    match metadata.and_then(|metadata| metadata.source.as_ref()) {
        Some(Source::File(file)) => Origin::File(file.clone()),
        Some(Source::Custom(name)) if name == ENVIRONMENT => Origin::Env(env_name(path.iter().copied())),
        Some(Source::Custom(_)) => Origin::CommandLine,
        _ => Origin::Default,
    }
}

/// A key nobody knows, with the ones that are known beside it.
pub(super) fn unknown_key(path: &[&str], origin: Origin) -> Problem {
    let mut parent = path;
    // A group given a value: its own names are what could be meant.
    if !matches!(find(path), Found::Group) {
        while let Some((_, rest)) = parent.split_last() {
            parent = rest;
            if matches!(find(parent), Found::Group) {
                break;
            }
        }
    }
    let place = if parent.is_empty() { String::new() } else { format!(" in {}", parent.join(".")) };
    Problem {
        key: path.join("."),
        found: Finding::UnknownKey,
        expected: format!("one of {}{place}", names_below(parent).join(", ")),
        origin,
    }
}

/// As [`unknown_key`], with the right spelling where only the underscores or the case are wrong.
fn unknown_variable(name: &str, path: &[&str], found: Found, origin: Origin) -> Problem {
    let folded = |name: &str| name.to_ascii_uppercase().replace("__", "_");
    let meant = match found {
        Found::Key(_) => Some(env_name(path.iter().copied())),
        Found::Group | Found::Nothing => {
            super::keys().map(key::Key::env_name).find(|known| folded(known) == folded(name))
        }
    };
    let problem = unknown_key(path, origin);
    match meant {
        Some(meant) => Problem { expected: format!("{meant} (two underscores between section and key)"), ..problem },
        None => problem,
    }
}

/// Whether a variable is one Kubernetes or Docker sets for a *service* called `cost-keeper…`, which has nothing to do
/// with configuration: `COST_KEEPER_SERVICE_HOST`, `COST_KEEPER_PORT_8080_TCP_ADDR`, … No key has such a name.
fn is_service_link(rest: &str, value: &OsString) -> bool {
    let mut words = rest.split('_').rev();
    let mut last = words.next().unwrap_or_default();
    // `…_PORT` alone could be somebody's misspelt key; a link's value is an address with a protocol.
    let is_address = || value.to_str().is_some_and(|value| value.contains("://"));
    if rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT") || last == "PORT" && is_address() {
        return true;
    }
    if matches!(last, "ADDR" | "PORT" | "PROTO") {
        last = words.next().unwrap_or_default();
    }
    let number = words.next().unwrap_or_default();
    matches!(last, "TCP" | "UDP" | "SCTP") && number.parse::<u16>().is_ok() && words.next() == Some("PORT")
}

/// Puts a value at a path, making the groups on the way.
pub(super) fn insert(dict: &mut Dict, path: &[&str], value: Value) {
    match path {
        [] => {}
        [name] => {
            dict.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let group = dict.entry((*name).to_owned()).or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, group) = group {
                insert(group, rest, value);
            }
        }
    }
}
