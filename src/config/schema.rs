//! The JSON Schema of a configuration file, made from the table of keys: for editors, and for whoever checks a file
//! before the service does.
//!
//! It uses only words that mean the same in draft-07 and later, because that is what Helm and most editors read. It
//! refuses nothing the service accepts from a file that is complete in itself; the service knows more rules than it.

use serde_json::{Map, Value, json};

use super::key::ANY;
use super::labels::{self, LABEL_PATTERN};
use super::{Config, keys};

/// Keys that must have a value where the label, or its prices, are said at all.
const REQUIRED: &[&str] = &[
    "labels.*.bedrock_model_id",
    "labels.*.prices.input_usd_micros_per_1m",
    "labels.*.prices.output_usd_micros_per_1m",
];

/// The schema. Always the same for the same version.
///
/// # Errors
/// As `serde_json`, which can write the built-in defaults.
pub fn schema() -> serde_json::Result<Value> {
    let defaults = serde_json::to_value(Config::default())?;
    let mut root = group();
    root.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
    root.insert("title".to_owned(), "Configuration of Bedrock Cost Keeper".into());
    for key in keys() {
        let path: Vec<_> = key.path().split('.').collect();
        let mut property = key.schema(REQUIRED.contains(&key.path()));
        let default = match path[..] {
            [_, ANY, "kind"] => Some(labels::DEFAULT_KIND.into()),
            [_, ANY, "description"] => Some(labels::DEFAULT_DESCRIPTION.into()),
            _ => defaults.pointer(&format!("/{}", path.join("/"))).filter(|value| !value.is_null()).cloned(),
        };
        if let Some(default) = default {
            property.insert("default".to_owned(), default);
        }
        place(&mut root, &path, property);
    }
    let mut root = Value::Object(root);
    let mut amend = |pointer: &str, word: &str, value: Value| {
        if let Some(place) = root.pointer_mut(pointer).and_then(Value::as_object_mut) {
            place.insert(word.to_owned(), value);
        }
    };
    // What a file with labels must say of them: it replaces the default ones.
    let catalog = format!("/properties/{}", labels::SECTION);
    let label = format!("{catalog}/patternProperties/{LABEL_PATTERN}");
    amend(&catalog, "description", "What each model label means; replaces the default labels".into());
    amend(&catalog, "default", defaults.get(labels::SECTION).cloned().unwrap_or_default());
    amend(&catalog, "minProperties", 1.into());
    amend(&label, "required", json!(["bedrock_model_id"]));
    let both = json!(["input_usd_micros_per_1m", "output_usd_micros_per_1m"]);
    amend(&format!("{label}/properties/prices"), "required", both);
    Ok(root)
}

/// Keys below a name. Nothing below it counts as absent, as where every line is commented out.
fn group() -> Map<String, Value> {
    let mut group = Map::new();
    group.insert("type".to_owned(), json!(["object", "null"]));
    group.insert("additionalProperties".to_owned(), false.into());
    group
}

/// Puts the schema of a key at its path, making the groups on the way.
fn place(parent: &mut Map<String, Value>, path: &[&str], property: Map<String, Value>) {
    let [name, rest @ ..] = path else { return };
    let (word, name) = if *name == ANY { ("patternProperties", LABEL_PATTERN) } else { ("properties", *name) };
    let members = parent.entry(word).or_insert_with(|| Map::new().into());
    let Some(members) = members.as_object_mut() else { return };
    if rest.is_empty() {
        members.insert(name.to_owned(), property.into());
    } else if let Some(below) = members.entry(name).or_insert_with(|| group().into()).as_object_mut() {
        place(below, rest, property);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Where a key is in the schema.
    fn pointer(path: &str) -> String {
        let words = path.split('.').map(|name| match name {
            ANY => format!("/patternProperties/{LABEL_PATTERN}"),
            name => format!("/properties/{name}"),
        });
        words.collect()
    }

    #[test]
    fn every_key_is_there_with_what_it_is_and_nothing_else_is() {
        let schema = schema().unwrap();
        for key in keys() {
            let property = schema.pointer(&pointer(key.path())).unwrap_or_else(|| panic!("{}", key.path()));
            let description = property["description"].as_str().unwrap();
            assert_eq!(description, format!("{}: {}", key.meaning(), key.expected()), "{}", key.path());
            assert!(!description.contains('\n') && !key.meaning().is_empty(), "{description}");
        }
        assert_eq!(descriptions(&schema), keys().count() + 1, "one each, and that of the labels");
    }

    fn descriptions(schema: &Value) -> usize {
        let Some(members) = schema.as_object() else { return 0 };
        let own = usize::from(members.get("description").is_some_and(Value::is_string));
        let below = ["properties", "patternProperties"].into_iter().filter_map(|word| members.get(word)?.as_object());
        own + below.flat_map(Map::values).map(descriptions).sum::<usize>()
    }

    #[test]
    fn bounds_words_and_defaults_are_those_of_the_table() {
        let schema = schema().unwrap();
        let at = |path: &str| schema.pointer(&pointer(path)).unwrap().clone();
        let timeout = at("server.request_timeout_secs");
        assert_eq!(
            (&timeout["minimum"], &timeout["maximum"], &timeout["default"]),
            (&json!(1), &json!(300), &json!(15))
        );
        assert_eq!(at("log.format")["enum"], json!(["text", "json", null]));
        assert_eq!(at("defaults.agg_shard_count")["enum"], json!([8, 16, 32, 64, null]));
        assert_eq!(at("labels.*.kind")["default"], json!("model"));
        assert_eq!(at("labels.*.description")["minLength"], Value::Null);
        assert_eq!(at("data_dir")["minLength"], json!(1));
        assert_eq!(at("server.cors_origins")["items"], json!({"type": "string", "minLength": 1}));
        // What is unset, and what depends on another key, has no default.
        for path in ["metrics.listen", "storage.url", "auth.jwt_secret"] {
            assert_eq!(at(path)["default"], Value::Null, "{path}");
        }
    }

    #[test]
    fn a_key_may_be_without_a_value_unless_it_is_required_and_an_entry_of_a_list_may_not() {
        let schema = schema().unwrap();
        for key in keys() {
            let kind = &schema.pointer(&pointer(key.path())).unwrap()["type"];
            let nullable = kind.as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
            assert_eq!(nullable, !REQUIRED.contains(&key.path()), "{}: {kind}", key.path());
        }
        for path in REQUIRED {
            assert!(keys().any(|key| key.path() == *path), "{path}");
        }
        let list = schema.pointer(&pointer("auth.provisioning_keys")).unwrap();
        assert_eq!((&list["type"], &list["items"]["type"]), (&json!(["array", "null"]), &json!("string")));
    }

    #[test]
    fn it_is_always_the_same() {
        let text = || serde_json::to_string_pretty(&schema().unwrap()).unwrap();
        assert_eq!(text(), text());
    }
}
