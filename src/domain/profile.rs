//! Inference profiles: what an application registers under a label of its own, and what is priced when it is called.
//!
//! There are two kinds of ARN. `inference-profile/us.amazon.nova-pro-v1:0` says by itself what is called and is priced
//! as that id. `application-inference-profile/abc123` is opaque: only AWS knows the models behind it, and a
//! [`ProfileTarget`] is what its answer comes to.

mod arn;
mod target;

pub use arn::{ProfileArn, ProfileKind};
pub use target::{ProfileTarget, UnusableProfile};

use std::borrow::Cow;

use jiff::Timestamp;

use super::catalog::{LabelCatalog, LabelEntry, LabelKind};
use super::ids::{AppId, ModelLabel, OrgId};

/// Most profiles one application may register: they are read with its configuration, on every call.
pub const MAX_PROFILES_PER_APP: u32 = 100;
/// Longest description of a profile, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 200;

/// An inference profile registered by an application under a label of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceProfile {
    /// The organization.
    pub org_id: OrgId,
    /// The application it belongs to; no other one knows it.
    pub app_id: AppId,
    /// Its label, unique inside the application.
    pub profile_label: ModelLabel,
    /// What the application passes to Bedrock as `modelId`.
    pub arn: ProfileArn,
    /// One line for a person; may be empty.
    pub description: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl InferenceProfile {
    /// The profile as an entry of the label catalog, which it is for its application.
    #[must_use]
    pub fn entry(&self) -> LabelEntry {
        LabelEntry {
            kind: LabelKind::Profile,
            bedrock_model_id: self.arn.as_str().to_owned(),
            description: self.description.clone(),
            price_override: None,
        }
    }
}

/// What labels mean to one tenant: its own profiles first, then the catalog.
///
/// A label of the catalog cannot be registered, so the order only matters where the operator adds a label that some
/// application has registered before: for it, the label keeps its meaning.
#[derive(Debug, Clone, Copy)]
pub struct TenantLabels<'a> {
    catalog: &'a LabelCatalog,
    profiles: &'a [InferenceProfile],
}

impl<'a> TenantLabels<'a> {
    /// The labels of a tenant with these profiles.
    #[must_use]
    pub fn new(catalog: &'a LabelCatalog, profiles: &'a [InferenceProfile]) -> Self {
        Self { catalog, profiles }
    }

    /// What a label means.
    #[must_use]
    pub fn get(&self, label: &ModelLabel) -> Option<Cow<'a, LabelEntry>> {
        match self.profile(label) {
            Some(profile) => Some(Cow::Owned(profile.entry())),
            None => self.catalog.get(label).map(Cow::Borrowed),
        }
    }

    /// Whether a label means anything.
    #[must_use]
    pub fn knows(&self, label: &ModelLabel) -> bool {
        self.profile(label).is_some() || self.catalog.get(label).is_some()
    }

    /// The profile registered under a label.
    #[must_use]
    pub fn profile(&self, label: &ModelLabel) -> Option<&'a InferenceProfile> {
        self.profiles.iter().find(|profile| profile.profile_label == *label)
    }

    /// Labels of the catalog.
    pub fn catalog_labels(&self) -> impl Iterator<Item = &'a ModelLabel> {
        self.catalog.labels()
    }

    /// Labels of registered profiles.
    pub fn profile_labels(&self) -> impl Iterator<Item = &'a ModelLabel> {
        self.profiles.iter().map(|profile| &profile.profile_label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> ModelLabel {
        text.parse().unwrap()
    }

    #[test]
    fn a_tenants_own_profile_comes_before_the_catalog() {
        let model = LabelEntry {
            kind: LabelKind::Model,
            bedrock_model_id: "amazon.nova-pro-v1:0".into(),
            description: String::new(),
            price_override: None,
        };
        let catalog = LabelCatalog::new([(label("premium"), model.clone()), (label("mine"), model)].into());
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
        let profile = InferenceProfile {
            org_id: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            app_id: "chat".parse().unwrap(),
            profile_label: label("mine"),
            arn: arn.parse().unwrap(),
            description: "ours".into(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let profiles = [profile];
        let labels = TenantLabels::new(&catalog, &profiles);
        let mine = labels.get(&label("mine")).unwrap();
        assert_eq!((mine.kind, mine.bedrock_model_id.as_str()), (LabelKind::Profile, arn));
        assert_eq!(labels.get(&label("premium")).unwrap().bedrock_model_id, "amazon.nova-pro-v1:0");
        assert!(labels.get(&label("other")).is_none() && !labels.knows(&label("other")));
    }
}
