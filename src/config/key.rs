//! What a key accepts: one table per section says it once, for reading, checking, messages and documentation.

use figment::value::{Num, Value};
use serde_json::json;

/// Prefix of every environment variable that sets a key.
pub const ENV_PREFIX: &str = "COST_KEEPER_";

/// Stands for a label in a [`Key::path`].
pub(super) const ANY: &str = "*";

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    path: &'static str,
    meaning: &'static str,
    kind: Kind,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// A whole number in a range; `unit` is its plural noun.
    Int {
        min: u64,
        max: u64,
        unit: &'static str,
    },
    IntOneOf(&'static [u64]),
    Word(&'static [&'static str]),
    Text {
        expected: &'static str,
        accepts: fn(&str) -> bool,
    },
    /// Text that may carry credentials; shown only through `show`.
    Url {
        expected: &'static str,
        accepts: fn(&str) -> bool,
        show: fn(&str) -> String,
    },
    List {
        expected: &'static str,
        accepts: fn(&str) -> bool,
    },
    Secret,
    Secrets,
}

impl Key {
    pub(super) const fn new(path: &'static str, meaning: &'static str, kind: Kind) -> Self {
        Self { path, meaning, kind }
    }

    /// Dotted path; a label is written `*`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// What it is, in a few words. What it accepts is not among them.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// The environment variable that sets it; a label is written `*`.
    #[must_use]
    pub fn env_name(&self) -> String {
        env_name(self.path.split('.'))
    }

    /// Whether its value is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Secrets)
    }

    /// What it accepts, for a person.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Bool => "true or false".to_owned(),
            Kind::Int { min, max, unit } => format!("a whole number of {unit} from {min} to {max}"),
            Kind::IntOneOf(numbers) => one_of(numbers.iter().map(u64::to_string)),
            Kind::Word(words) => one_of(words.iter().map(|word| (*word).to_owned())),
            Kind::Text { expected, .. } | Kind::Url { expected, .. } => expected.to_owned(),
            Kind::List { expected, .. } => format!("a list, each entry {expected}"),
            Kind::Secret => "text (in a file, put it in quotes)".to_owned(),
            Kind::Secrets => "a list of texts (in a file, put each in quotes)".to_owned(),
        }
    }

    /// The JSON Schema of its value in a file. It knows the type, ranges and words; for texts of a form of their own it is
    /// wider than [`accepts`](Self::accepts). A key without a value counts as absent, so unless it is `required` it may
    /// be null.
    pub(super) fn schema(&self, required: bool) -> serde_json::Map<String, serde_json::Value> {
        // What stands in a file is as long as its reader says, but seldom may it be nothing.
        let text = |accepts: fn(&str) -> bool| match accepts("") {
            true => json!({"type": "string"}),
            false => json!({"type": "string", "minLength": 1}),
        };
        let list = |items: serde_json::Value| json!({"type": "array", "items": items});
        let schema = match self.kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int { min, max, .. } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Kind::IntOneOf(numbers) => json!({"type": "integer", "enum": numbers}),
            Kind::Word(words) => json!({"type": "string", "enum": words}),
            Kind::Text { accepts, .. } | Kind::Url { accepts, .. } => text(accepts),
            Kind::List { accepts, .. } => list(text(accepts)),
            Kind::Secret => text(|_| true),
            Kind::Secrets => list(text(|_| true)),
        };
        let mut schema = schema.as_object().cloned().unwrap_or_default();
        if !required {
            if let Some(kind) = schema.get_mut("type") {
                *kind = json!([kind.take(), "null"]);
            }
            if let Some(choices) = schema.get_mut("enum").and_then(serde_json::Value::as_array_mut) {
                choices.push(serde_json::Value::Null);
            }
        }
        schema.insert("description".to_owned(), format!("{}: {}", self.meaning, self.expected()).into());
        schema
    }

    /// Reads the text of an environment variable or command-line override. What does not parse is kept as text,
    /// for [`accepts`](Self::accepts) to refuse.
    pub(super) fn read(&self, text: &str) -> Value {
        let trimmed = text.trim();
        match self.kind {
            // Exactly as given: a secret may look like a number, a boolean or a list, and may contain spaces.
            Kind::Secret => Value::from(text),
            Kind::List { .. } | Kind::Secrets => {
                Value::from(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect::<Vec<_>>())
            }
            Kind::Bool => trimmed.parse::<bool>().map_or_else(|_| Value::from(trimmed), Value::from),
            Kind::Int { .. } | Kind::IntOneOf(_) => {
                trimmed.parse::<u64>().map_or_else(|_| Value::from(trimmed), Value::from)
            }
            Kind::Word(_) | Kind::Text { .. } | Kind::Url { .. } => Value::from(trimmed),
        }
    }

    /// Whether a value is what [`expected`](Self::expected) says.
    pub(super) fn accepts(&self, value: &Value) -> bool {
        let number = value.to_u128().and_then(|number| u64::try_from(number).ok());
        match self.kind {
            Kind::Bool => value.to_bool().is_some(),
            Kind::Int { min, max, .. } => number.is_some_and(|number| (min..=max).contains(&number)),
            Kind::IntOneOf(numbers) => number.is_some_and(|number| numbers.contains(&number)),
            Kind::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Kind::Text { accepts, .. } | Kind::Url { accepts, .. } => value.as_str().is_some_and(accepts),
            Kind::List { accepts, .. } => {
                value.as_array().is_some_and(|list| list.iter().all(|entry| entry.as_str().is_some_and(accepts)))
            }
            Kind::Secret => value.as_str().is_some(),
            Kind::Secrets => value.as_array().is_some_and(|list| list.iter().all(|entry| entry.as_str().is_some())),
        }
    }

    /// A value as it may be shown, or `None` where it may not be.
    pub(super) fn show(&self, value: &Value) -> Option<String> {
        match (self.kind, value) {
            (Kind::Url { show, .. }, Value::String(_, text)) => Some(show(text)),
            // What stands in the place of an address could carry its credentials in any form.
            (Kind::Secret | Kind::Secrets | Kind::Url { .. }, _) => None,
            _ => Some(show(value)),
        }
    }
}

/// The environment variable of a path.
pub(super) fn env_name<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    let upper: Vec<_> = segments.map(str::to_ascii_uppercase).collect();
    format!("{ENV_PREFIX}{}", upper.join("__"))
}

/// A value as a person writes it.
fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Char(_, character) => character.to_string(),
        Value::Bool(_, on) => on.to_string(),
        Value::Num(_, Num::F32(number)) => number.to_string(),
        Value::Num(_, Num::F64(number)) => number.to_string(),
        Value::Num(_, number) => number
            .to_u128()
            .map(|number| number.to_string())
            .or_else(|| number.to_i128().map(|number| number.to_string()))
            .unwrap_or_default(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a group of keys".to_owned(),
        Value::Array(_, list) => list.iter().map(show).collect::<Vec<_>>().join(", "),
    }
}

fn one_of(choices: impl Iterator<Item = String>) -> String {
    format!("one of {}", choices.collect::<Vec<_>>().join(", "))
}

/// Where a path leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Key(&'static Key),
    /// A section, or a label: something with keys below it.
    Group,
    Nothing,
}

/// Looks a path up among all keys.
pub(super) fn find(path: &[&str]) -> Found {
    let mut found = Found::Nothing;
    for key in super::keys() {
        let mut pattern = key.path.split('.');
        if path.iter().all(|segment| pattern.next().is_some_and(|expected| expected == ANY || expected == *segment)) {
            if pattern.next().is_none() {
                return Found::Key(key);
            }
            found = Found::Group;
        }
    }
    found
}

/// Names known directly below a group, in order.
pub(super) fn names_below(path: &[&str]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in super::keys() {
        let mut pattern = key.path.split('.');
        if path.iter().all(|segment| pattern.next().is_some_and(|expected| expected == ANY || expected == *segment))
            && let Some(name) = pattern.next()
        {
            let name = if name == ANY { "<label>" } else { name };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
