//! Inference profiles of applications.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Result;
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::profile::{InferenceProfile, ProfileArn};

/// What registering a profile came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileCreation {
    /// It is stored.
    Created,
    /// The application has as many as it may have; nothing changed.
    Full,
}

/// Inference profiles that applications register under labels of their own. An application's profiles are also read
/// with it: [`Tenant::profiles`](super::Tenant::profiles).
#[async_trait]
pub trait Profiles: Send + Sync {
    /// Registers a profile, unless its application has `max` of them already. [`StorageError::AlreadyExists`] where the
    /// application has one under this label; then nothing changes. [`StorageError::Conflict`] where the application is
    /// not registered. Of concurrent calls for one label exactly one creates, and no number of them exceeds `max`.
    ///
    /// [`StorageError::AlreadyExists`]: crate::storage::StorageError::AlreadyExists
    /// [`StorageError::Conflict`]: crate::storage::StorageError::Conflict
    async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation>;

    /// Every profile of an application in ascending order of label; none where it is not registered. They end with
    /// their application or organization.
    async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>>;

    /// Ends a profile; `false` where there was none.
    async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool>;

    /// What labels mean in an organization as a whole: of each label some application has a profile under, the profile
    /// *every* such application means by it. A label by which two of them mean different ones is left out.
    async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>>;
}
