//! Cargo.toml says the version; whatever repeats it says the same. `scripts/bump-version` changes all of them.

use std::path::{Path, PathBuf};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What stands before the version of this product, and of nothing else, in any file: an image, a chart, a label, what
/// the program says of itself, an argument of the image's build.
const BEFORE: &[&str] = &[
    "bedrock-cost-keeper:",
    "bedrock-cost-keeper-",
    "bedrock-cost-keeper@",
    "bedrock-cost-keeper ",
    "bedrock-cost-keeper v",
    "Bedrock Cost Keeper ",
    "app.kubernetes.io/version: ",
    "app.kubernetes.io/version: \"",
    "COST_KEEPER_VERSION:-",
    "ARG VERSION=",
];

/// What is not looked at: what is built or generated, the history, and sources and scripts, whose tests make up versions
/// of their own.
const NOT_READ: &[&str] = &[
    ".git",
    "target",
    "node_modules",
    "data",
    "src",
    "tests/it",
    "tests/browser",
    "fuzz",
    "migrations",
    "scripts",
    "CHANGELOG.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the repository that is looked at, by its path in it.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(root().join(directory)).unwrap();
    for entry in entries.map(Result::unwrap) {
        let path = directory.join(entry.file_name());
        let name = entry.file_name();
        if NOT_READ.iter().any(|skipped| path == Path::new(skipped) || name.as_os_str() == *skipped) {
            continue;
        }
        // A link leads to a file that is read anyway, or out of the repository.
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// The version a text starts with, its pre-release included.
fn leading_version(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let version = text[..end].trim_end_matches(['.', '-']);
    let numbers = version.split(['-', '+']).next()?;
    let parts: Vec<_> = numbers.split('.').collect();
    let plain =
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    // `bedrock-cost-keeper-0.1.0-linux-x86_64.tar.gz` and `…-0.1.0.tgz` name the version and then something else.
    let tail = &version[numbers.len()..];
    let pre_release = ["-alpha.", "-beta.", "-rc."].iter().any(|start| tail.starts_with(start));
    let archive = numbers_before_ending(version);
    if plain { Some(if pre_release { version } else { numbers }) } else { archive }
}

/// `0.1.0` of `0.1.0.tgz`.
fn numbers_before_ending(text: &str) -> Option<&str> {
    let (start, ending) = text.rsplit_once('.')?;
    let letters = !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_lowercase());
    if letters { leading_version(start) } else { None }
}

/// Versions of this product in a line.
fn versions_in(line: &str) -> Vec<&str> {
    let after =
        |before: &&str| line.match_indices(*before).map(|(at, found)| &line[at + found.len()..]).collect::<Vec<_>>();
    BEFORE.iter().flat_map(after).filter_map(leading_version).collect()
}

#[test]
fn whatever_names_this_product_with_a_version_names_that_of_cargo() {
    let mut paths = Vec::new();
    files(Path::new(""), &mut paths);
    let (mut said, mut wrong) = (0, Vec::new());
    for path in paths {
        // What is no text says nothing.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for version in versions_in(line) {
                said += 1;
                if version != VERSION {
                    wrong.push(format!("{}:{} says {version}, Cargo.toml {VERSION}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(said >= 3, "only {said} places were found: has the README's excerpt, or the image's name, changed?");
    assert!(wrong.is_empty(), "{}\nscripts/bump-version changes all of them", wrong.join("\n"));
}

#[test]
fn chart_and_api_document_have_the_version_of_cargo() {
    let document: serde_json::Value = serde_json::from_str(&read("openapi/openapi.json")).unwrap();
    assert_eq!(document["info"]["version"], VERSION, "openapi/openapi.json: run scripts/openapi");
    let chart = read("helm/bedrock-cost-keeper/Chart.yaml");
    for key in ["version", "appVersion"] {
        let line = chart.lines().enumerate().find(|(_, line)| line.starts_with(&format!("{key}:")));
        let (number, line) = line.unwrap_or_else(|| panic!("helm/bedrock-cost-keeper/Chart.yaml has no {key}"));
        let value = line.split_once(':').unwrap().1.split('#').next().unwrap().trim().trim_matches('"');
        assert_eq!(value, VERSION, "helm/bedrock-cost-keeper/Chart.yaml:{} {key}", number + 1);
    }
}

#[test]
fn the_changelog_has_a_heading_for_it_or_for_what_is_unreleased() {
    let changelog = read("CHANGELOG.md");
    let released = format!("## [{VERSION}]");
    let named = changelog.lines().any(|line| line == "## [Unreleased]" || line.starts_with(&released));
    assert!(named, "CHANGELOG.md has neither `## [Unreleased]` nor `{released}`");
}

#[test]
fn versions_are_recognized_by_what_stands_before_them() {
    for (line, versions) in [
        ("image: registry.example/team/bedrock-cost-keeper:1.2.3", &["1.2.3"][..]),
        ("`bedrock-cost-keeper:1.2.3-rc.1`.", &["1.2.3-rc.1"]),
        ("Bedrock Cost Keeper 1.2.3 is ready after 42 ms.", &["1.2.3"]),
        ("helm.sh/chart: bedrock-cost-keeper-1.2.3", &["1.2.3"]),
        ("bedrock-cost-keeper-1.2.3.tgz and bedrock-cost-keeper-1.2.3-x86_64.tar.gz", &["1.2.3", "1.2.3"]),
        ("app.kubernetes.io/version: \"1.2.3\"", &["1.2.3"]),
        ("ARG VERSION=1.2.3", &["1.2.3"]),
        ("postgres:1.2.3, bedrock-cost-keeper:latest, bedrock-cost-keeper:${TAG}, bedrock-cost-keeper:8080", &[]),
    ] {
        assert_eq!(versions_in(line), versions, "{line}");
    }
}
