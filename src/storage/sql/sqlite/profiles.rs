//! Inference profiles of applications. A foreign key ends them with their application.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStorage;
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::profile::{InferenceProfile, ProfileArn};
use crate::storage::contract::{ProfileCreation, Profiles, Result};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::millis;
use crate::storage::sql::error::corrupt;
use crate::storage::sql::rows::ProfileRow;

pub(super) const PROFILES_OF_APP: &str = "SELECT org_id, app_id, profile_label, arn, description, created_at \
     FROM inference_profiles WHERE org_id = ?1 AND app_id = ?2 ORDER BY profile_label";

/// Answered from an index alone, in its order.
pub(super) const COMMON_PROFILES: &str = "SELECT profile_label, min(arn) FROM inference_profiles WHERE org_id = ?1 \
     GROUP BY profile_label HAVING min(arn) = max(arn)";

#[async_trait]
impl Profiles for SqliteStorage {
    async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation> {
        let mut transaction = self.write().await?;
        let app: Option<i64> = sqlx::query_scalar("SELECT 1 FROM apps WHERE org_id = ?1 AND app_id = ?2")
            .bind(profile.org_id.0)
            .bind(profile.app_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        if app.is_none() {
            return Err(StorageError::Conflict);
        }
        let present = find_profiles(&mut transaction, profile.org_id, &profile.app_id).await?;
        if present.iter().any(|present| present.profile_label == profile.profile_label) {
            return Err(StorageError::AlreadyExists);
        }
        if present.len() >= max as usize {
            return Ok(ProfileCreation::Full);
        }
        sqlx::query(
            "INSERT INTO inference_profiles (org_id, app_id, profile_label, arn, description, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(profile.org_id.0)
        .bind(profile.app_id.as_str())
        .bind(profile.profile_label.as_str())
        .bind(profile.arn.as_str())
        .bind(profile.description.as_str())
        .bind(millis(profile.created_at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(ProfileCreation::Created)
    }

    async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>> {
        let mut connection = self.readers.acquire().await?;
        find_profiles(&mut connection, org_id, app_id).await
    }

    async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool> {
        let mut transaction = self.write().await?;
        let deleted =
            sqlx::query("DELETE FROM inference_profiles WHERE org_id = ?1 AND app_id = ?2 AND profile_label = ?3")
                .bind(org_id.0)
                .bind(app_id.as_str())
                .bind(label.as_str())
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as(COMMON_PROFILES).bind(org_id.0).fetch_all(&self.readers).await?;
        rows.into_iter()
            .map(|(label, arn)| {
                let label = label.parse().map_err(|_| corrupt("inference_profiles.profile_label"))?;
                Ok((label, arn.parse().map_err(|_| corrupt("inference_profiles.arn"))?))
            })
            .collect()
    }
}

/// Every profile of an application, in order of label. Bounded by the number an application may register.
pub(super) async fn find_profiles(
    connection: &mut SqliteConnection,
    org_id: OrgId,
    app_id: &AppId,
) -> Result<Vec<InferenceProfile>> {
    let rows: Vec<ProfileRow> =
        sqlx::query_as(PROFILES_OF_APP).bind(org_id.0).bind(app_id.as_str()).fetch_all(connection).await?;
    rows.into_iter().map(InferenceProfile::try_from).collect()
}
