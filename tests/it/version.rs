//! Cargo.toml says the version; what is released beside the binary says exactly the same. All the places where files
//! repeat it are compared by `scripts/bump-version --check`; `scripts/bump-version` changes them.

use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between `before` and `after` in the lines of a file that begin so, white space and quotes aside.
fn said(path: &str, before: &str, after: &str) -> Vec<String> {
    let text = read(path);
    let values = text.lines().filter_map(|line| line.trim().strip_prefix(before)?.strip_suffix(after));
    values.map(|value| value.trim().trim_matches('"').to_owned()).collect()
}

#[track_caller]
fn is_the_version(path: &str, before: &str, after: &str) {
    let found = said(path, before, after);
    assert!(!found.is_empty(), "{path} has no line that begins with `{before}`");
    assert!(found.iter().all(|value| value == VERSION), "{path}: `{before}` says {found:?}, Cargo.toml {VERSION}");
}

#[test]
fn the_api_document_has_the_version_of_cargo() {
    let document: serde_json::Value = serde_json::from_str(&read("openapi/openapi.json")).unwrap();
    assert_eq!(document["info"]["version"], VERSION, "openapi/openapi.json: run scripts/openapi");
}

#[test]
fn the_chart_is_of_that_version_and_installs_it() {
    for key in ["version:", "appVersion:"] {
        is_the_version("helm/bedrock-cost-keeper/Chart.yaml", key, "");
    }
}

#[test]
fn the_image_is_labelled_with_it_and_compose_builds_and_runs_it() {
    is_the_version("Dockerfile", "ARG VERSION=", "");
    is_the_version("compose.yaml", "image: ${KEEPER_IMAGE:-bedrock-cost-keeper:", "}");
}

#[test]
fn the_changelog_has_a_heading_for_it_or_for_what_is_unreleased() {
    let changelog = read("CHANGELOG.md");
    let released = format!("## [{VERSION}]");
    let named = changelog.lines().any(|line| line == "## [Unreleased]" || line.starts_with(&released));
    assert!(named, "CHANGELOG.md has neither `## [Unreleased]` nor `{released}`");
}
