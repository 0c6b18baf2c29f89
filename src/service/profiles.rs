//! Inference profiles: registering them under labels of an application's own, and what is priced when one is called.
//!
//! AWS is not asked when a profile is registered but when it is first used, by [`memo`].

pub mod memo;

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::access::{ProfileReadAccess, ProfileWriteAccess};
use super::audit::Entry;
use super::error::ServiceError;
use super::pricing::StandardPrice;
use super::{Result, Services};
use crate::domain::audit::AuditAction;
use crate::domain::catalog::LabelEntry;
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::pricing::ModelRef;
use crate::domain::profile::{
    InferenceProfile, MAX_DESCRIPTION_CHARS, MAX_PROFILES_PER_APP, ProfileArn, ProfileTarget,
};
use crate::domain::tenant::AppConfig;
use crate::storage::{ProfileCreation, StorageError};

use self::memo::Outcome;

/// Rounds of "look, then create": a further one is only needed where somebody else registered the label in between.
const MAX_ROUNDS: usize = 3;

/// A profile as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileDraft {
    /// Its label.
    pub profile_label: ModelLabel,
    /// Its ARN.
    pub arn: ProfileArn,
    /// One line for a person; unset keeps what is there, or is empty.
    pub description: Option<String>,
}

/// What a registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The profile is new.
    Created(InferenceProfile),
    /// It was registered before, just so.
    Unchanged(InferenceProfile),
}

/// What the audit trail says of a profile.
#[derive(Serialize)]
pub(super) struct AuditedProfile<'a> {
    arn: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
}

impl<'a> AuditedProfile<'a> {
    pub(super) fn of(profile: &'a InferenceProfile) -> Self {
        Self { arn: profile.arn.as_str(), description: &profile.description }
    }
}

/// Profiles behind the calls of one request, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct ResolvedProfiles(HashMap<ProfileArn, Outcome>);

/// What is priced for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PricedCall<'a> {
    /// The model id that is priced: the one that was called, or what an opaque profile stands for.
    pub(crate) model_id: &'a str,
    /// Region of that opaque profile, which is where it must have been called.
    pub(crate) profile_region: Option<&'a str>,
}

impl ResolvedProfiles {
    /// What is priced where `called` was called. A profile nobody could resolve is priced as itself, which has no price.
    pub(crate) fn priced<'a>(&'a self, called: &'a str) -> PricedCall<'a> {
        let known = ProfileArn::opaque(called).and_then(|arn| self.0.get_key_value(&arn));
        match known {
            Some((arn, Ok(target))) => PricedCall { model_id: &target.model_id, profile_region: Some(arn.region()) },
            _ => PricedCall { model_id: called, profile_region: None },
        }
    }
}

impl Services {
    /// Finds out what is behind opaque profiles among these model ids. Never fails and never takes longer than the
    /// configured time-out: what cannot be resolved now is missing in the answer.
    pub(crate) async fn resolve_profiles<'a>(&self, called: impl Iterator<Item = &'a str> + Send) -> ResolvedProfiles {
        let opaque: Vec<ProfileArn> = called.filter_map(ProfileArn::opaque).collect();
        if opaque.is_empty() {
            return ResolvedProfiles::default();
        }
        ResolvedProfiles(self.profiles.resolve(opaque, self.now()).await)
    }

    /// What a profile is priced as, where that is known without asking AWS.
    #[must_use]
    pub fn known_target(&self, arn: &ProfileArn) -> Option<ProfileTarget> {
        if arn.is_opaque() {
            return self.profiles.known(arn).map(|target| (*target).clone());
        }
        let id = arn.as_str().rsplit_once('/').map_or("", |(_, id)| id);
        ModelRef::parse(id).map(|parsed| ProfileTarget { model_id: id.to_owned(), model: parsed.model.to_owned() })
    }

    /// The standard prices of a label now, for display. Those of an opaque profile are shown once it was used: looking
    /// at a price never waits for AWS.
    pub(crate) fn display_price(&self, entry: &LabelEntry, at: Timestamp) -> Option<StandardPrice> {
        let opaque = ProfileArn::opaque(&entry.bedrock_model_id).filter(|_| entry.price_override.is_none());
        let Some(arn) = opaque else { return self.pricer.standard_price(entry, at) };
        let target = self.profiles.known(&arn)?;
        // As the ARN of its model in the profile's region, so that a price of that region is found.
        let region = arn.region();
        let bedrock_model_id = format!("arn:aws:bedrock:{region}::foundation-model/{}", target.model_id);
        self.pricer.standard_price(&LabelEntry { bedrock_model_id, ..entry.clone() }, at)
    }

    /// Labels of an application's own profiles, as far as its ordering can need them.
    pub(crate) async fn own_profiles(
        &self,
        org_id: OrgId,
        app_id: &AppId,
        config: &AppConfig,
    ) -> Result<BTreeSet<ModelLabel>> {
        let mut ordered = config.model_ordering.iter().flatten();
        if ordered.all(|label| self.catalog.get(label).is_some()) {
            return Ok(BTreeSet::new());
        }
        let profiles = self.storage.profiles(org_id, app_id).await?;
        Ok(profiles.into_iter().map(|profile| profile.profile_label).collect())
    }

    /// Registers a profile. The same again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered application, [`ServiceError::InvalidRequest`] for an impossible
    /// description, [`ServiceError::Conflict`] where the label means something else already or the application has
    /// [`MAX_PROFILES_PER_APP`].
    pub async fn register_profile(&self, access: &ProfileWriteAccess, draft: &ProfileDraft) -> Result<Registration> {
        validate_description(draft.description.as_deref().unwrap_or_default())?;
        for _ in 0..MAX_ROUNDS {
            let (tenant, _) = self.registered(&access.scope()).await?;
            let same_label = |profile: &InferenceProfile| profile.profile_label == draft.profile_label;
            if let Some(existing) = tenant.profiles.into_iter().find(same_label) {
                return unchanged(existing, draft);
            }
            if self.catalog.get(&draft.profile_label).is_some() {
                let reason = "is a label of the service's catalog";
                return Err(taken("profile_label", &draft.profile_label, reason));
            }
            let profile = InferenceProfile {
                org_id: access.org_id(),
                app_id: access.app_id().clone(),
                profile_label: draft.profile_label.clone(),
                arn: draft.arn.clone(),
                description: draft.description.clone().unwrap_or_default(),
                created_at: self.now(),
            };
            let entry = Entry::new(AuditAction::ProfileRegistered, access.scope())
                .subject(&profile.profile_label)
                .states(None, Some(&AuditedProfile::of(&profile)));
            let creation = self.storage.create_profile(&profile, MAX_PROFILES_PER_APP);
            let created = |creation: &ProfileCreation| matches!(creation, ProfileCreation::Created);
            match self.audited(access.by(), entry, creation, created).await? {
                Ok(ProfileCreation::Created) => return Ok(Registration::Created(profile)),
                Ok(ProfileCreation::Full) => {
                    return Err(ServiceError::conflict(format!(
                        "the application has {MAX_PROFILES_PER_APP} inference profiles, the most it may have; delete one \
                         first"
                    )));
                }
                // Registered, or its application deleted, in between: look again.
                Err(StorageError::AlreadyExists | StorageError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::conflict("the profile kept being registered and deleted at the same time"))
    }

    /// Every profile of an application in ascending order of label.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered application.
    pub async fn list_profiles(&self, access: &ProfileReadAccess) -> Result<Vec<InferenceProfile>> {
        let (tenant, _) = self.registered(&access.scope()).await?;
        Ok(tenant.profiles)
    }

    /// One profile of an application.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered application or profile.
    pub async fn get_profile(&self, access: &ProfileReadAccess, label: &ModelLabel) -> Result<InferenceProfile> {
        let profiles = self.list_profiles(access).await?;
        let found = profiles.into_iter().find(|profile| profile.profile_label == *label);
        found.ok_or(ServiceError::NotFound("inference profile"))
    }

    /// Ends a profile. Recorded usage stays.
    ///
    /// An ordering that comes to name the label in the same instant keeps it: model selection passes over a label that
    /// means nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered application or profile, [`ServiceError::Conflict`] while the
    /// application's ordering in effect names it.
    pub async fn delete_profile(&self, access: &ProfileWriteAccess, label: &ModelLabel) -> Result<()> {
        let (tenant, effective) = self.registered(&access.scope()).await?;
        let present = tenant.profiles.iter().find(|profile| profile.profile_label == *label);
        let present = present.ok_or(ServiceError::NotFound("inference profile"))?;
        if effective.model_ordering.value.contains(label) {
            return Err(ServiceError::Conflict {
                message: format!("the application's model_ordering names {label}; take it out of the ordering first"),
                field: Some("model_ordering"),
            });
        }
        let entry = Entry::new(AuditAction::ProfileDeleted, access.scope())
            .subject(label)
            .states(Some(&AuditedProfile::of(present)), None);
        let deletion = self.storage.delete_profile(access.org_id(), access.app_id(), label);
        match self.audited(access.by(), entry, deletion, |deleted| *deleted).await?? {
            true => Ok(()),
            false => Err(ServiceError::NotFound("inference profile")),
        }
    }
}

/// A label that is registered: the same again, or a conflict.
fn unchanged(existing: InferenceProfile, draft: &ProfileDraft) -> Result<Registration> {
    if existing.arn != draft.arn {
        return Err(taken("profile_label", &draft.profile_label, "is registered for another inference profile"));
    }
    if draft.description.as_ref().is_some_and(|description| *description != existing.description) {
        return Err(taken("description", &draft.profile_label, "is registered with another description"));
    }
    Ok(Registration::Unchanged(existing))
}

fn taken(field: &'static str, label: &ModelLabel, reason: &str) -> ServiceError {
    ServiceError::Conflict { message: format!("label {label} {reason}"), field: Some(field) }
}

fn validate_description(description: &str) -> Result<()> {
    if description.chars().count() > MAX_DESCRIPTION_CHARS || description.chars().any(char::is_control) {
        let reason = format!("must be one line of at most {MAX_DESCRIPTION_CHARS} characters");
        return Err(ServiceError::invalid("description", reason));
    }
    Ok(())
}
