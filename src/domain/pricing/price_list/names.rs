//! Which model a row of the price list is about.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::usage::is_model_id;

/// Names of the price list and the model ids they stand for: `name,id;id`. A name is compared without case, spaces and
/// hyphens, so one line serves `Nova 2.0 Lite` and `Nova2.0Lite`.
const NAMES: &str = include_str!("names.csv");

static TABLE: LazyLock<HashMap<String, Vec<&'static str>>> = LazyLock::new(|| {
    NAMES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(','))
        .map(|(name, ids)| (key(name), ids.split(';').collect()))
        .collect()
});

/// What the marketplace appends to a model's name.
const EDITION: &str = "(Amazon Bedrock Edition)";
/// What the price list appends to the name of a model that is charged at another latency.
const OPTIMIZED: &str = "Latency Optimized";

/// The model ids of a display name, a compressed name, or an id itself. Empty where nobody knows it.
pub(super) fn model_ids(name: &str) -> Vec<&str> {
    let name = name.trim();
    let name = name.strip_suffix(EDITION).unwrap_or(name).trim();
    let name = name.strip_suffix(OPTIMIZED).unwrap_or(name).trim();
    match TABLE.get(&key(name)) {
        Some(ids) => ids.clone(),
        None if is_model_id(name) => vec![name],
        None => Vec::new(),
    }
}

/// Letters, digits, `.` and `+`, in lower case.
fn key(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::embedded;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_id_of_the_table_has_a_price_in_the_embedded_snapshot_and_no_name_stands_twice() {
        let book = embedded().unwrap();
        let known: HashSet<&str> = book.rows().map(|(model, ..)| model).collect();
        let lines: Vec<_> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
        let mut names = HashSet::new();
        for line in lines {
            let (name, ids) = line.split_once(',').unwrap();
            assert!(names.insert(key(name)), "{name} stands twice");
            for id in ids.split(';') {
                assert!(known.contains(id) || NOT_IN_THE_SNAPSHOT.contains(&id), "{name}: {id}");
            }
        }
    }

    /// Sold by Bedrock, but not in the map the snapshot is made from.
    const NOT_IN_THE_SNAPSHOT: [&str; 6] = [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "anthropic.claude-3-sonnet-20240229-v1:0",
        "anthropic.claude-v2",
        "cohere.command-r-v1:0",
        "cohere.command-r-plus-v1:0",
        "amazon.nova-sonic-v1:0",
    ];

    #[test]
    fn every_text_model_of_the_snapshot_can_be_named() {
        let book = embedded().unwrap();
        let reachable: HashSet<&str> = TABLE.values().flatten().copied().collect();
        for (model, _, card) in book.rows() {
            // Ids stand in usage types as they are; those with a version after a colon do so nowhere.
            let priced_per_token = card.base.input.is_some() && card.base.output.is_some();
            let odd = ["embed", "rerank", "claude-3-7-sonnet-20240620"].iter().any(|part| model.contains(part));
            let own_name = model.contains(':') && !odd && priced_per_token;
            assert!(!own_name || reachable.contains(model), "{model} has no name");
        }
    }

    #[test]
    fn names_are_found_in_every_spelling() {
        for name in ["Nova 2.0 Lite", "Nova2.0Lite", "nova 2.0 lite"] {
            assert_eq!(model_ids(name), ["amazon.nova-2-lite-v1:0"]);
        }
        assert_eq!(model_ids("Claude Sonnet 4.6 (Amazon Bedrock Edition)"), ["anthropic.claude-sonnet-4-6"]);
        assert_eq!(model_ids("Llama 3.1 70B Latency Optimized"), ["meta.llama3-1-70b-instruct-v1:0"]);
        assert_eq!(model_ids("xai.grok-4.3"), ["xai.grok-4.3"]);
        assert!(model_ids("Some New Marvel").is_empty() && model_ids("").is_empty());
    }
}
