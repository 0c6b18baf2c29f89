//! The directions between layers hold: a file of one layer names only layers it may know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Layer → what its files may name with `crate::…`. A path that is not listed is allowed nothing.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("clock.rs", &[]),
    ("ids.rs", &[]),
    ("storage/open.rs", &["storage", "app"]),
    ("storage", &["domain", "storage"]),
    ("service", &["domain", "storage", "service", "clock", "ids"]),
    ("api", &["api", "service", "domain", "storage", "clock"]),
    ("aws", &["aws", "service", "domain", "config"]),
    ("config", &["config", "domain", "ids", "storage"]),
    ("telemetry", &["telemetry", "config"]),
    ("jobs", &["jobs", "service", "domain", "storage"]),
    ("server", &["server", "clock"]),
];

/// What only wiring may name: a backend, by its module.
const BACKENDS: &[&str] = &["storage::sql", "storage::dynamodb", "SqliteStorage", "PostgresStorage", "DynamoDbStorage"];

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Source without comments: rustdoc may link to anything.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// First segments of every `crate::…` path, grouped imports included.
fn named_layers(code: &str) -> BTreeSet<String> {
    let mut layers = BTreeSet::new();
    for (position, _) in code.match_indices("crate::") {
        let rest = &code[position + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let end = group.find('}').unwrap_or(group.len());
            for item in group[..end].split(',') {
                layers.insert(item.trim().split("::").next().unwrap_or_default().to_owned());
            }
        } else {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            layers.insert(name);
        }
    }
    layers.remove("");
    layers
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code(&path)))
        .collect()
}

#[test]
fn each_layer_names_only_the_layers_it_may_know() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for (file, code) in sources() {
        let Some((_, allowed)) = MAY_USE
            .iter()
            .find(|(layer, _)| file == *layer || file.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/')))
        else {
            continue;
        };
        checked += 1;
        for layer in named_layers(&code) {
            if !allowed.contains(&layer.as_str()) {
                broken.push(format!("src/{file} names crate::{layer}"));
            }
        }
    }
    assert!(checked > 60, "only {checked} files were checked: has a layer moved?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_wiring_names_a_backend() {
    let named: Vec<_> = sources()
        .into_iter()
        .filter(|(file, _)| {
            !file.starts_with("storage/sql/")
                && !file.starts_with("storage/dynamodb/")
                && !["app.rs", "storage/open.rs", "storage/mod.rs"].contains(&file.as_str())
        })
        .filter(|(_, code)| BACKENDS.iter().any(|backend| code.contains(backend)))
        .map(|(file, _)| file)
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn the_domain_is_pure() {
    let forbidden =
        ["async ", ".await", "std::fs", "std::net", "std::env", "tokio", "sqlx", "axum", "reqwest", "Instant::now"];
    let impure: Vec<_> = sources()
        .into_iter()
        .filter(|(file, _)| file.starts_with("domain/"))
        .flat_map(|(file, code)| {
            forbidden
                .iter()
                .filter(|word| code.contains(*word))
                .map(|word| format!("{file}: {word}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(impure.is_empty(), "{impure:?}");
}

#[test]
fn no_source_file_is_too_long_to_be_read_in_one_sitting() {
    let long: Vec<_> =
        sources().into_iter().filter(|(_, code)| code.lines().count() > 500).map(|(file, _)| file).collect();
    assert!(long.is_empty(), "{long:?}");
}
