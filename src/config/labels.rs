//! `labels`: the label catalog, the same for every tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};
use super::pricing::PRICE;
use crate::domain::catalog::{LabelCatalog, LabelEntry, LabelKind};
use crate::domain::ids::ModelLabel;
use crate::domain::pricing::Rates;

/// Name of the section.
pub(super) const SECTION: &str = "labels";
/// What a label may be called, for messages.
pub(super) const LABEL_RULE: &str = "a label of 1 to 50 lower-case letters, digits, '_' or '-', starting with a letter";
/// The same as a regular expression; JSON Schema has it.
pub(super) const LABEL_PATTERN: &str = "^[a-z][a-z0-9_-]{0,49}$";
/// What a label points at where its entry does not say it.
pub(super) const DEFAULT_KIND: &str = "model";
/// How a label is described where its entry does not say it.
pub(super) const DEFAULT_DESCRIPTION: &str = "";

pub(super) const KEYS: &[Key] = &[
    Key::new("labels.*.kind", "What the label points at", Kind::Word(&["model", "profile"])),
    Key::new(
        "labels.*.bedrock_model_id",
        "What a client passes to Bedrock as `modelId`",
        Kind::Text {
            expected: "a Bedrock model id, or for a profile its ARN: 1 to 2048 visible ASCII characters",
            accepts: |text| (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
        },
    ),
    Key::new(
        "labels.*.description",
        "Shown to people",
        Kind::Text {
            expected: "one line of at most 200 characters",
            accepts: |text| text.chars().count() <= 200 && !text.chars().any(char::is_control),
        },
    ),
    Key::new("labels.*.prices.input_usd_micros_per_1m", "Uncached prompt tokens", PRICE),
    Key::new("labels.*.prices.output_usd_micros_per_1m", "Generated tokens", PRICE),
    Key::new("labels.*.prices.cache_read_usd_micros_per_1m", "Prompt tokens read from the cache", PRICE),
    Key::new(
        "labels.*.prices.cache_write_usd_micros_per_1m",
        "Prompt tokens written to the cache for five minutes",
        PRICE,
    ),
    Key::new(
        "labels.*.prices.cache_write_1h_usd_micros_per_1m",
        "Prompt tokens written to the cache for one hour",
        PRICE,
    ),
];

/// The catalog as configured.
pub type Labels = BTreeMap<ModelLabel, LabelConfig>;

/// What a label means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelConfig {
    /// Model or inference profile.
    pub kind: LabelKind,
    /// Model id, or for a profile its ARN.
    pub bedrock_model_id: String,
    /// One line for a person.
    pub description: String,
    /// Prices that beat every other source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricesConfig>,
}

/// Prices of a label in micro-USD per 1M tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesConfig {
    /// Uncached prompt tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_usd_micros_per_1m: Option<u64>,
    /// Generated tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_usd_micros_per_1m: Option<u64>,
    /// Prompt tokens read from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_usd_micros_per_1m: Option<u64>,
    /// Prompt tokens written to the cache for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_usd_micros_per_1m: Option<u64>,
    /// Prompt tokens written to the cache for one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_usd_micros_per_1m: Option<u64>,
}

impl From<PricesConfig> for Rates {
    /// Micro-USD per 1M tokens are pico-dollars per token.
    fn from(prices: PricesConfig) -> Self {
        Self {
            input: prices.input_usd_micros_per_1m,
            output: prices.output_usd_micros_per_1m,
            cache_read: prices.cache_read_usd_micros_per_1m,
            cache_write_5m: prices.cache_write_usd_micros_per_1m,
            cache_write_1h: prices.cache_write_1h_usd_micros_per_1m,
        }
    }
}

/// As the domain takes it.
pub(super) fn catalog(labels: &Labels) -> LabelCatalog {
    let entry = |config: &LabelConfig| LabelEntry {
        kind: config.kind,
        bedrock_model_id: config.bedrock_model_id.clone(),
        description: config.description.clone(),
        price_override: config.prices.map(Rates::from),
    };
    LabelCatalog::new(labels.iter().map(|(label, config)| (label.clone(), entry(config))).collect())
}

/// The catalog of a service whose configuration names no labels.
pub(super) fn default_labels() -> Labels {
    [
        ("premium", "amazon.nova-pro-v1:0", "Most capable: demanding reasoning and long documents"),
        ("standard", "amazon.nova-2-lite-v1:0", "Balanced quality and cost for everyday work"),
        ("economy", "amazon.nova-micro-v1:0", "Cheapest and fastest: short and simple text"),
    ]
    .into_iter()
    .filter_map(|(label, id, description)| {
        let config = LabelConfig {
            kind: LabelKind::Model,
            bedrock_model_id: id.to_owned(),
            description: description.to_owned(),
            prices: None,
        };
        // Each of the three is a label, so nothing is dropped; a test counts them.
        Some((label.parse().ok()?, config))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_three_default_labels() {
        let catalog = catalog(&default_labels());
        let labels: Vec<_> = catalog.labels().map(ModelLabel::as_str).collect();
        assert_eq!(labels, ["economy", "premium", "standard"]);
    }
}
