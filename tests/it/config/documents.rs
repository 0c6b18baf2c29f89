//! The example file and the documentation say what the code does.

use std::collections::BTreeSet;
use std::fmt::Write;

use bedrock_cost_keeper::config::{Config, Origin, keys};

use super::{load_overrides, load_yaml, shown};

const EXAMPLE: &str = include_str!("../../../cost-keeper.example.yaml");
const DOCUMENTATION: &str = include_str!("../../../docs/configuration.md");

#[test]
fn the_example_is_the_built_in_defaults() {
    let example = load_yaml(EXAMPLE).unwrap();
    let defaults = load_yaml("").unwrap();
    assert_eq!(example.to_json().unwrap(), defaults.to_json().unwrap());
    let values = |loaded: &bedrock_cost_keeper::config::Loaded| {
        loaded.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&example), values(&defaults));
    assert_eq!(format!("{:?}", example.config), format!("{:?}", Config::default()));
}

/// Which of the ways of giving a secret the last part of a key is; `None` for what is no secret.
fn way(name: &str) -> Option<&'static str> {
    let is_secret = |name: &str| keys().any(|key| key.path().ends_with(&format!(".{name}_aws_secret_id")));
    let suffix =
        ["_file", "_aws_secret_id"].into_iter().find(|suffix| name.strip_suffix(suffix).is_some_and(is_secret));
    suffix.or_else(|| is_secret(name).then_some(""))
}

#[test]
fn the_example_has_every_key() {
    let mut found = BTreeSet::new();
    // A secret is given in one way only, and one key only signs: not everything can be set at once.
    let ways = if cfg!(feature = "aws") { &["", "_file", "_aws_secret_id"][..] } else { &["", "_file"] };
    for (chosen, not_signing) in ways.iter().flat_map(|way| [(way, "jwt_secret"), (way, "jwt_private_key")]) {
        let mut everything = String::new();
        for line in EXAMPLE.lines() {
            let (indent, text) = line.split_at(line.len() - line.trim_start().len());
            // `#key:` is a setting, `# Word` is prose.
            let setting = text.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            let setting = setting.filter(|setting| {
                let name = setting.split(':').next().unwrap();
                way(name).is_none_or(|way| way == *chosen) && !name.starts_with(not_signing)
            });
            writeln!(everything, "{indent}{}", setting.unwrap_or(text)).unwrap();
        }
        let loaded = load_yaml(&everything).unwrap();
        let entries = loaded.entries().iter().filter(|entry| matches!(entry.origin, Origin::File(_)));
        found.extend(entries.filter(|entry| !entry.value.starts_with("(read from ")).map(|entry| entry.key.clone()));
    }
    for key in keys() {
        let path = key.path().replace('*', "premium");
        let built = cfg!(feature = "aws") || !path.ends_with("_aws_secret_id");
        assert!(!built || found.contains(&path), "{path} is not in the example");
    }
}

#[test]
fn the_documentation_has_a_row_for_every_key() {
    let defaults = load_yaml("").unwrap();
    for key in keys() {
        let path = key.path().replace('*', "<label>");
        let row = DOCUMENTATION.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {path}"));
        let variable = key.env_name().replace('*', "<LABEL>");
        assert!(row.contains(&format!("| `{variable}` |")), "{row}");
        assert!(row.contains(key.meaning()), "{path} is `{}`\n{row}", key.meaning());
        assert!(row.contains(&key.expected()) || key.is_secret(), "{path} accepts {}\n{row}", key.expected());
        if !key.path().contains('*') {
            let default = shown(&defaults, &path).0.trim_matches(['(', ')']);
            let default =
                if matches!(default, "unset" | "none") { format!("| {default} |") } else { format!("| `{default}` |") };
            assert!(row.contains(&default), "{path} defaults to {default}\n{row}");
        }
    }
}

#[test]
fn the_documentation_shows_a_real_message() {
    let message = load_overrides([("server.request_timeout_secs", "0"), ("server.lissten", "x")]).unwrap_err();
    assert!(DOCUMENTATION.contains(&message), "{message}");
}

#[test]
fn a_description_is_aligned_and_complete() {
    let loaded = load_yaml("labels: {a: {bedrock_model_id: m}}").unwrap();
    let text = loaded.describe();
    assert_eq!(text.lines().count(), loaded.entries().len());
    let column = text.lines().next().unwrap().find("127.0.0.1").unwrap();
    for (line, entry) in text.lines().zip(loaded.entries()) {
        assert_eq!(line[..column].trim_end(), entry.key);
        assert!(line[column..].starts_with(&entry.value), "{line}");
        assert!(line.ends_with(&entry.origin.to_string()), "{line}");
    }
    let labels: Vec<_> = loaded.entries().iter().filter(|entry| entry.key.starts_with("labels.")).collect();
    assert_eq!((labels.len(), labels[0].key.as_str(), labels[0].value.as_str()), (8, "labels.a.kind", "model"));
    assert_eq!(shown(&loaded, "auth.jwt_secret").0, "(unset)");
}
