//! Inference profiles of applications. A foreign key ends them with their application.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::PostgresStorage;
use super::attempts::Repeat;
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::profile::{InferenceProfile, ProfileArn};
use crate::storage::contract::{ProfileCreation, Profiles, Result};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::millis;
use crate::storage::sql::error::corrupt;
use crate::storage::sql::rows::ProfileRow;

const PROFILES_OF_APP: &str = "SELECT org_id, app_id, profile_label, arn, description, created_at \
     FROM inference_profiles WHERE org_id = $1 AND app_id = $2 ORDER BY profile_label";

/// How many profiles an application has, and whether one of them is under a label.
const TAKEN: &str = "SELECT count(*), coalesce(bool_or(profile_label = $3), false) FROM inference_profiles \
     WHERE org_id = $1 AND app_id = $2";

/// Answered from an index alone, in its order.
const COMMON_PROFILES: &str = "SELECT profile_label, min(arn) FROM inference_profiles WHERE org_id = $1 \
     GROUP BY profile_label HAVING min(arn) = max(arn)";

#[async_trait]
impl Profiles for PostgresStorage {
    async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            // One registration of an application at a time, so that they count right; and none while it is deleted.
            let app: Option<i32> = session
                .query_scalar("SELECT 1 FROM apps WHERE org_id = $1 AND app_id = $2 FOR NO KEY UPDATE")
                .bind(profile.org_id.0)
                .bind(profile.app_id.as_str())
                .fetch_optional(&mut *session)
                .await?;
            if app.is_none() {
                return session.refuse(StorageError::Conflict).await;
            }
            let (count, taken): (i64, bool) = session
                .query_as(TAKEN)
                .bind(profile.org_id.0)
                .bind(profile.app_id.as_str())
                .bind(profile.profile_label.as_str())
                .fetch_one(&mut *session)
                .await?;
            if taken {
                return session.refuse(StorageError::AlreadyExists).await;
            }
            if count >= i64::from(max) {
                return session.commit(ProfileCreation::Full).await;
            }
            session
                .query(
                    "INSERT INTO inference_profiles (org_id, app_id, profile_label, arn, description, created_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(profile.org_id.0)
                .bind(profile.app_id.as_str())
                .bind(profile.profile_label.as_str())
                .bind(profile.arn.as_str())
                .bind(profile.description.as_str())
                .bind(millis(profile.created_at))
                .execute(&mut *session)
                .await?;
            session.commit(ProfileCreation::Created).await
        })
        .await
    }

    async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>> {
        let rows: Vec<ProfileRow> = self
            .statement(|mut session| async move {
                let query = session.query_as(PROFILES_OF_APP).bind(org_id.0).bind(app_id.as_str());
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter().map(InferenceProfile::try_from).collect()
    }

    async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let deleted = session
                .query("DELETE FROM inference_profiles WHERE org_id = $1 AND app_id = $2 AND profile_label = $3")
                .bind(org_id.0)
                .bind(app_id.as_str())
                .bind(label.as_str())
                .execute(&mut *session)
                .await?;
            session.commit(deleted.rows_affected() > 0).await
        })
        .await
    }

    async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>> {
        let rows: Vec<(String, String)> = self
            .statement(|mut session| async move {
                let rows = session.query_as(COMMON_PROFILES).bind(org_id.0).fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter()
            .map(|(label, arn)| {
                let label = label.parse().map_err(|_| corrupt("inference_profiles.profile_label"))?;
                Ok((label, arn.parse().map_err(|_| corrupt("inference_profiles.arn"))?))
            })
            .collect()
    }
}

/// Profiles of an application from label, ARN, description and creation of each.
pub(super) fn profile_rows(
    org_id: OrgId,
    app_id: &AppId,
    rows: Vec<(String, String, String, i64)>,
) -> Result<Vec<InferenceProfile>> {
    rows.into_iter()
        .map(|(profile_label, arn, description, created_at)| {
            let app_id = app_id.as_str().to_owned();
            ProfileRow { org_id: org_id.0, app_id, profile_label, arn, description, created_at }.try_into()
        })
        .collect()
}
