//! Configuration: layers, messages, secrets, and the documents that describe it.

mod documents;
mod layers;
mod messages;
mod secrets;
#[cfg(feature = "aws")]
mod secrets_aws;
mod secrets_sources;

use std::path::Path;

use bedrock_cost_keeper::config::{Config, Loaded, Origin, Sources};

/// Sources in an empty directory of their own, which must outlive them.
fn sources() -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::in_dir(dir.path());
    (dir, sources)
}

/// Loads a file named `cost-keeper.<extension>` with these contents.
fn load_file(extension: &str, contents: &str) -> Result<Loaded, String> {
    let (dir, sources) = sources();
    write(dir.path(), &format!("cost-keeper.{extension}"), contents);
    Config::load(&sources).map_err(|e| e.to_string())
}

fn load_yaml(contents: &str) -> Result<Loaded, String> {
    load_file("yaml", contents)
}

fn load_env<const N: usize>(env: [(&str, &str); N]) -> Result<Loaded, String> {
    let (_dir, sources) = sources();
    Config::load(&sources.with_env(env)).map_err(|e| e.to_string())
}

fn load_overrides<const N: usize>(overrides: [(&str, &str); N]) -> Result<Loaded, String> {
    let (_dir, sources) = sources();
    Config::load(&sources.with_overrides(overrides)).map_err(|e| e.to_string())
}

fn write(dir: &Path, name: &str, contents: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

/// Value and origin of a key as the `config` command shows them.
fn shown<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a Origin) {
    let entry = loaded.entries().iter().find(|entry| entry.key == key).unwrap_or_else(|| panic!("no entry {key}"));
    (&entry.value, &entry.origin)
}
