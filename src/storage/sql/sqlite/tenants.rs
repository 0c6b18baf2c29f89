//! Organizations and applications. Foreign keys end a tenant's clients and sealed secrets with it.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStorage;
use super::credentials::insert_client;
use super::profiles::find_profiles;
use crate::domain::ids::{AppId, OrgId, Scope};
use crate::domain::tenant::{App, Org};
use crate::storage::contract::{NewClient, Result, Tenant, Tenants};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::millis;
use crate::storage::sql::rows::{AppRow, OrgRow, expected_version_column, to_json, version_column};

#[async_trait]
impl Tenants for SqliteStorage {
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
        let config = to_json(&org.config)?;
        let mut transaction = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO orgs (org_id, config, version, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (org_id) DO NOTHING",
        )
        .bind(org.org_id.0)
        .bind(config)
        .bind(version_column(org.version)?)
        .bind(millis(org.created_at))
        .bind(millis(org.updated_at))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(StorageError::AlreadyExists);
        }
        insert_client(&mut transaction, client).await?;
        Ok(transaction.commit().await?)
    }

    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
        let config = to_json(&org.config)?;
        let version = version_column(org.version)?;
        let mut transaction = self.write().await?;
        let updated = sqlx::query(
            "UPDATE orgs SET config = ?2, version = ?3, updated_at = ?4 WHERE org_id = ?1 AND version = ?5",
        )
        .bind(org.org_id.0)
        .bind(config)
        .bind(version)
        .bind(millis(org.updated_at))
        .bind(expected_version_column(expected_version)?)
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() == 0 {
            return Err(StorageError::Conflict);
        }
        Ok(transaction.commit().await?)
    }

    async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM fallback_states WHERE org_id = ?1").bind(org_id.0).execute(&mut *transaction).await?;
        let deleted =
            sqlx::query("DELETE FROM orgs WHERE org_id = ?1").bind(org_id.0).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        // Every blob is greater than the empty one.
        let after = after.map(|org_id| org_id.0.as_bytes().to_vec()).unwrap_or_default();
        let rows: Vec<OrgRow> = sqlx::query_as(
            "SELECT org_id, config, version, created_at, updated_at FROM orgs WHERE org_id > ?1 ORDER BY org_id LIMIT ?2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Org::try_from).collect()
    }

    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
        let config = to_json(&app.config)?;
        let mut transaction = self.write().await?;
        if find_org(&mut transaction, app.org_id).await?.is_none() {
            return Err(StorageError::Conflict);
        }
        let inserted = sqlx::query(
            "INSERT INTO apps (org_id, app_id, config, version, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (org_id, app_id) DO NOTHING",
        )
        .bind(app.org_id.0)
        .bind(app.app_id.as_str())
        .bind(config)
        .bind(version_column(app.version)?)
        .bind(millis(app.created_at))
        .bind(millis(app.updated_at))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(StorageError::AlreadyExists);
        }
        insert_client(&mut transaction, client).await?;
        Ok(transaction.commit().await?)
    }

    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
        let config = to_json(&app.config)?;
        let version = version_column(app.version)?;
        let mut transaction = self.write().await?;
        let updated = sqlx::query(
            "UPDATE apps SET config = ?3, version = ?4, updated_at = ?5 \
             WHERE org_id = ?1 AND app_id = ?2 AND version = ?6",
        )
        .bind(app.org_id.0)
        .bind(app.app_id.as_str())
        .bind(config)
        .bind(version)
        .bind(millis(app.updated_at))
        .bind(expected_version_column(expected_version)?)
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() == 0 {
            return Err(StorageError::Conflict);
        }
        Ok(transaction.commit().await?)
    }

    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM fallback_states WHERE org_id = ?1 AND app_id = ?2")
            .bind(org_id.0)
            .bind(app_id.as_str())
            .execute(&mut *transaction)
            .await?;
        let deleted = sqlx::query("DELETE FROM apps WHERE org_id = ?1 AND app_id = ?2")
            .bind(org_id.0)
            .bind(app_id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
        let rows: Vec<AppRow> = sqlx::query_as(
            "SELECT org_id, app_id, config, version, created_at, updated_at FROM apps \
             WHERE org_id = ?1 AND app_id > ?2 ORDER BY app_id LIMIT ?3",
        )
        .bind(org_id.0)
        .bind(after.map_or("", AppId::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(App::try_from).collect()
    }

    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
        let mut transaction = self.read().await?;
        let Some(org) = find_org(&mut transaction, scope.org_id).await? else {
            return Ok(None);
        };
        let (app, profiles) = match &scope.app_id {
            None => (None, Vec::new()),
            Some(app_id) => (
                find_app(&mut transaction, scope.org_id, app_id).await?,
                find_profiles(&mut transaction, scope.org_id, app_id).await?,
            ),
        };
        transaction.commit().await?;
        Ok(Some(Tenant { org, app, profiles }))
    }
}

async fn find_org(connection: &mut SqliteConnection, org_id: OrgId) -> Result<Option<Org>> {
    let row: Option<OrgRow> =
        sqlx::query_as("SELECT org_id, config, version, created_at, updated_at FROM orgs WHERE org_id = ?1")
            .bind(org_id.0)
            .fetch_optional(connection)
            .await?;
    row.map(Org::try_from).transpose()
}

async fn find_app(connection: &mut SqliteConnection, org_id: OrgId, app_id: &AppId) -> Result<Option<App>> {
    let row: Option<AppRow> = sqlx::query_as(
        "SELECT org_id, app_id, config, version, created_at, updated_at FROM apps WHERE org_id = ?1 AND app_id = ?2",
    )
    .bind(org_id.0)
    .bind(app_id.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(App::try_from).transpose()
}
