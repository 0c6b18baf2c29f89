//! The label catalog: what each model label means. It is service configuration, the same for every tenant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::ModelLabel;
use super::pricing::Rates;

/// What a label points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// A foundation model, called by its model id.
    Model,
    /// An inference profile, called by its ARN; prices depend on the calling region.
    Profile,
}

/// One entry of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelEntry {
    /// Model or inference profile.
    pub kind: LabelKind,
    /// What a client passes to Bedrock as `modelId`: a model id, or for a profile its ARN.
    pub bedrock_model_id: String,
    /// One line for a person.
    pub description: String,
    /// Prices the operator set; they beat every other source.
    pub price_override: Option<Rates>,
}

/// All labels this service knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelCatalog {
    entries: BTreeMap<ModelLabel, LabelEntry>,
}

impl LabelCatalog {
    /// A catalog of these entries.
    #[must_use]
    pub fn new(entries: BTreeMap<ModelLabel, LabelEntry>) -> Self {
        Self { entries }
    }

    /// The entry of a label.
    #[must_use]
    pub fn get(&self, label: &ModelLabel) -> Option<&LabelEntry> {
        self.entries.get(label)
    }

    /// Every entry, by label.
    pub fn iter(&self) -> impl Iterator<Item = (&ModelLabel, &LabelEntry)> {
        self.entries.iter()
    }

    /// Every label.
    pub fn labels(&self) -> impl Iterator<Item = &ModelLabel> {
        self.entries.keys()
    }
}
