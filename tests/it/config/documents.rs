//! The example file and the documentation say what the code does.

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

#[test]
fn the_example_has_every_key() {
    // `#key:` is a setting, `# Word` is prose.
    let mut everything = String::new();
    for line in EXAMPLE.lines() {
        let (indent, text) = line.split_at(line.len() - line.trim_start().len());
        let setting = text.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        writeln!(everything, "{indent}{}", setting.unwrap_or(text)).unwrap();
    }
    let loaded = load_yaml(&everything).unwrap();
    for key in keys() {
        let path = key.path().replace('*', "premium");
        assert!(matches!(shown(&loaded, &path).1, Origin::File(_)), "{path} is not in the example");
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
