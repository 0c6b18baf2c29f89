//! Inference profiles of applications. An application counts its profiles, so that no number of concurrent
//! registrations exceeds the most.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes::{Item, corrupt, instant_of, item, ms, n, parsed, s, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{self, PROFILE_PREFIX, SK};
use super::tables::Table;
use super::tenants::{ALIVE, is_alive};
use super::writes::{Commit, Step};
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::profile::{InferenceProfile, ProfileArn};
use crate::storage::contract::{ProfileCreation, Profiles, Result};
use crate::storage::error::StorageError;

#[async_trait]
impl Profiles for DynamoDbStorage {
    async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation> {
        let (org_id, app_id) = (profile.org_id, &profile.app_id);
        let key = keys::profile(org_id, app_id, &profile.profile_label);
        let count = self
            .update(&keys::app(org_id, app_id))
            .update_expression("ADD profiles :one")
            .condition_expression(format!("{ALIVE} AND profiles < :max"))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":max", n(max));
        let store = self.put(&key, attributes(profile)).condition_expression("attribute_not_exists(pk)");
        let steps = vec![self.alive_step(org_id)?, count.step()?, store.step()?];
        let refusals = match self.commit(steps).await? {
            Commit::Done => return Ok(ProfileCreation::Created),
            Commit::Refused(refusals) => refusals,
        };
        if refusals.refused(0) || (refusals.refused(1) && !is_alive(refusals.item(1))) {
            return Err(StorageError::Conflict);
        }
        // A taken label comes before a full application, whichever condition was looked at first.
        if refusals.refused(2) || self.get(&key, true).await?.is_some() {
            return Err(StorageError::AlreadyExists);
        }
        Ok(ProfileCreation::Full)
    }

    async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>> {
        let parents = [keys::org(org_id), keys::app(org_id, app_id)];
        let (items, found) =
            tokio::try_join!(self.profile_items(org_id, app_id), self.batch_get(parents.clone(), true))?;
        if !parents.iter().all(|parent| is_alive(found.get(parent))) {
            return Ok(Vec::new());
        }
        items.iter().map(|item| profile_of(org_id, item)).collect()
    }

    async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool> {
        let count = self
            .update(&keys::app(org_id, app_id))
            .update_expression("ADD profiles :less")
            .condition_expression(ALIVE)
            .expression_attribute_values(":less", n(-1));
        let delete = self.delete(&keys::profile(org_id, app_id, label)).condition_expression("attribute_exists(pk)");
        let steps = vec![self.alive_step(org_id)?, count.step()?, delete.step()?];
        Ok(matches!(self.commit(steps).await?, Commit::Done))
    }

    async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>> {
        let partition = keys::org_partition(org_id);
        let range = Range { prefix: Some(PROFILE_PREFIX), consistent: true, ..Range::default() };
        let org_key = keys::org(org_id);
        let (items, org) = tokio::try_join!(self.query(Table::Config, &partition, &range), self.get(&org_key, true))?;
        let Some(org) = org.filter(|item| is_alive(Some(item))) else { return Ok(BTreeMap::new()) };
        let ending = apps_being_deleted(&org);
        let mut arns: BTreeMap<ModelLabel, Option<ProfileArn>> = BTreeMap::new();
        for item in &items {
            let profile = profile_of(org_id, item)?;
            if ending.contains(profile.app_id.as_str()) {
                continue;
            }
            arns.entry(profile.profile_label)
                .and_modify(|common| {
                    if common.as_ref() != Some(&profile.arn) {
                        *common = None;
                    }
                })
                .or_insert(Some(profile.arn));
        }
        Ok(arns.into_iter().filter_map(|(label, arn)| Some((label, arn?))).collect())
    }
}

impl DynamoDbStorage {
    /// Every profile of an application, in order of label. Bounded by the number an application may register.
    pub(super) async fn profile_items(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<Item>> {
        let prefix = keys::profile_prefix(app_id);
        let range = Range { prefix: Some(&prefix), consistent: true, ..Range::default() };
        self.query(Table::Config, &keys::org_partition(org_id), &range).await
    }
}

/// Applications of an organization whose profiles are still there although they are gone.
fn apps_being_deleted(org: &Item) -> BTreeSet<&str> {
    match org.get("ending") {
        Some(AttributeValue::Ss(apps)) => apps.iter().map(String::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

fn attributes(profile: &InferenceProfile) -> Item {
    item([
        ("arn", s(profile.arn.as_str())),
        ("descr", s(profile.description.as_str())),
        ("created", ms(profile.created_at)),
    ])
}

/// The profile of an item.
pub(super) fn profile_of(org_id: OrgId, item: &Item) -> Result<InferenceProfile> {
    let (app_id, profile_label) = keys::profile_parts(text(item, SK)?).map_err(|_| corrupt("config.sk"))?;
    Ok(InferenceProfile {
        org_id,
        app_id,
        profile_label,
        arn: parsed(item, "config.arn")?,
        description: text(item, "config.descr")?.to_owned(),
        created_at: instant_of(item, "config.created")?,
    })
}
