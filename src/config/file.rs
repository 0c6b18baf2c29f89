//! Reads a configuration file into values. Refuses what YAML would silently accept: the same key twice.

use std::fmt;
use std::path::Path;

use figment::providers::{Format, Toml, Yaml};
use figment::value::{Dict, Empty, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::ConfigError;

/// The values of a file. A key without a value (a section all of whose lines are commented out) counts as absent.
///
/// # Errors
/// [`ConfigError::File`], with the line where the syntax is wrong and without the text of the line, which may hold
/// a secret.
pub(super) fn read(path: &Path) -> Result<Dict, ConfigError> {
    let refused = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let node = match extension {
        "yaml" | "yml" | "json" => Yaml::from_str::<Node>(&text).map_err(|e| refused(e.to_string()))?,
        "toml" => Toml::from_str::<Node>(&text).map_err(|e| {
            // The error's own display quotes the line.
            let line = e.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
            refused(format!("{}{}", e.message(), line.map(|line| format!(" at line {line}")).unwrap_or_default()))
        })?,
        _ => return Err(refused("expected a name ending in .yaml, .yml, .toml or .json".to_owned())),
    };
    match node.0 {
        Value::Dict(_, dict) => Ok(dict),
        Value::Empty(..) => Ok(Dict::new()),
        _ => Err(refused("expected keys and values".to_owned())),
    }
}

/// Any value of a file.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        // TOML knows signed numbers only; a number that is not negative is the same everywhere.
        Ok(Node(u64::try_from(value).map_or_else(|_| Value::from(value), Value::from)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node(Empty::None.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node(Empty::Unit.into()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(Node(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(Node(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut dict = Dict::new();
        let mut absent = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Node(value) = entries.next_value()?;
            if dict.contains_key(&key) || absent.contains(&key) {
                return Err(A::Error::custom(format!("key {key:?} is there twice")));
            }
            if matches!(value, Value::Empty(..)) {
                absent.push(key);
            } else {
                dict.insert(key, value);
            }
        }
        Ok(Node(dict.into()))
    }
}
