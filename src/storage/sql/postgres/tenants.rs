//! Organizations and applications. Foreign keys end a tenant's clients, sealed secrets and profiles with it.

use async_trait::async_trait;
use sqlx::{FromRow, Row};

use super::PostgresStorage;
use super::attempts::Repeat;
use super::credentials::insert_client;
use super::profiles::profile_rows;
use crate::domain::ids::{AppId, OrgId, Scope};
use crate::domain::tenant::{App, Org};
use crate::storage::contract::{NewClient, Result, Tenant, Tenants};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{app_key, millis};
use crate::storage::sql::rows::{AppRow, OrgRow, expected_version_column, to_json, version_column};

const ALL_ORGS: &str =
    "SELECT org_id, config::text AS config, version, created_at, updated_at FROM orgs ORDER BY org_id LIMIT $1";
const ORGS_AFTER: &str = "SELECT org_id, config::text AS config, version, created_at, updated_at FROM orgs \
     WHERE org_id > $2 ORDER BY org_id LIMIT $1";
const APPS_AFTER: &str = "SELECT org_id, app_id, config::text AS config, version, created_at, updated_at FROM apps \
     WHERE org_id = $1 AND app_id > $2 ORDER BY app_id LIMIT $3";

/// An organization with an application of it, where there is one, and that one's profiles as arrays: one row.
const TENANT: &str = "SELECT o.org_id, o.config::text AS config, o.version, o.created_at, o.updated_at, \
     a.app_id, a.config::text AS app_config, a.version AS app_version, a.created_at AS app_created_at, \
     a.updated_at AS app_updated_at, p.labels, p.arns, p.descriptions, p.created \
     FROM orgs o LEFT JOIN apps a ON a.org_id = o.org_id AND a.app_id = $2 \
     LEFT JOIN LATERAL (SELECT array_agg(profile_label ORDER BY profile_label) AS labels, \
       array_agg(arn ORDER BY profile_label) AS arns, array_agg(description ORDER BY profile_label) AS descriptions, \
       array_agg(created_at ORDER BY profile_label) AS created \
       FROM inference_profiles p WHERE p.org_id = a.org_id AND p.app_id = a.app_id) p ON a.app_id IS NOT NULL \
     WHERE o.org_id = $1";

#[async_trait]
impl Tenants for PostgresStorage {
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
        let config = &to_json(&org.config)?;
        let version = version_column(org.version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let inserted = session
                .query(
                    "INSERT INTO orgs (org_id, config, version, created_at, updated_at) \
                     VALUES ($1, $2::text::json, $3, $4, $5) ON CONFLICT (org_id) DO NOTHING",
                )
                .bind(org.org_id.0)
                .bind(config)
                .bind(version)
                .bind(millis(org.created_at))
                .bind(millis(org.updated_at))
                .execute(&mut *session)
                .await?;
            if inserted.rows_affected() == 0 {
                return session.refuse(StorageError::AlreadyExists).await;
            }
            insert_client(&mut session, client).await?;
            session.commit(()).await
        })
        .await
    }

    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
        let config = &to_json(&org.config)?;
        let version = version_column(org.version)?;
        let expected_version = expected_version_column(expected_version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let updated = session
                .query(
                    "UPDATE orgs SET config = $2::text::json, version = $3, updated_at = $4 \
                     WHERE org_id = $1 AND version = $5",
                )
                .bind(org.org_id.0)
                .bind(config)
                .bind(version)
                .bind(millis(org.updated_at))
                .bind(expected_version)
                .execute(&mut *session)
                .await?;
            if updated.rows_affected() == 0 {
                return session.refuse(StorageError::Conflict).await;
            }
            session.commit(()).await
        })
        .await
    }

    async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let deleted =
                session.query("DELETE FROM orgs WHERE org_id = $1").bind(org_id.0).execute(&mut *session).await?;
            let states = session.query("DELETE FROM fallback_states WHERE org_id = $1").bind(org_id.0);
            states.execute(&mut *session).await?;
            session.commit(deleted.rows_affected() > 0).await
        })
        .await
    }

    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        let rows: Vec<OrgRow> = self
            .statement(|mut session| async move {
                let query = match after {
                    None => session.query_as(ALL_ORGS).bind(i64::from(limit)),
                    Some(after) => session.query_as(ORGS_AFTER).bind(i64::from(limit)).bind(after.0),
                };
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter().map(Org::try_from).collect()
    }

    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
        let config = &to_json(&app.config)?;
        let version = version_column(app.version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            // Whoever deletes the organization at the same time waits, or is waited for.
            let org: Option<i32> = session
                .query_scalar("SELECT 1 FROM orgs WHERE org_id = $1 FOR KEY SHARE")
                .bind(app.org_id.0)
                .fetch_optional(&mut *session)
                .await?;
            if org.is_none() {
                return session.refuse(StorageError::Conflict).await;
            }
            let inserted = session
                .query(
                    "INSERT INTO apps (org_id, app_id, config, version, created_at, updated_at) \
                     VALUES ($1, $2, $3::text::json, $4, $5, $6) ON CONFLICT (org_id, app_id) DO NOTHING",
                )
                .bind(app.org_id.0)
                .bind(app.app_id.as_str())
                .bind(config)
                .bind(version)
                .bind(millis(app.created_at))
                .bind(millis(app.updated_at))
                .execute(&mut *session)
                .await?;
            if inserted.rows_affected() == 0 {
                return session.refuse(StorageError::AlreadyExists).await;
            }
            insert_client(&mut session, client).await?;
            session.commit(()).await
        })
        .await
    }

    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
        let config = &to_json(&app.config)?;
        let version = version_column(app.version)?;
        let expected_version = expected_version_column(expected_version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let updated = session
                .query(
                    "UPDATE apps SET config = $3::text::json, version = $4, updated_at = $5 \
                     WHERE org_id = $1 AND app_id = $2 AND version = $6",
                )
                .bind(app.org_id.0)
                .bind(app.app_id.as_str())
                .bind(config)
                .bind(version)
                .bind(millis(app.updated_at))
                .bind(expected_version)
                .execute(&mut *session)
                .await?;
            if updated.rows_affected() == 0 {
                return session.refuse(StorageError::Conflict).await;
            }
            session.commit(()).await
        })
        .await
    }

    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let deleted = session
                .query("DELETE FROM apps WHERE org_id = $1 AND app_id = $2")
                .bind(org_id.0)
                .bind(app_id.as_str())
                .execute(&mut *session)
                .await?;
            session
                .query("DELETE FROM fallback_states WHERE org_id = $1 AND app_id = $2")
                .bind(org_id.0)
                .bind(app_id.as_str())
                .execute(&mut *session)
                .await?;
            session.commit(deleted.rows_affected() > 0).await
        })
        .await
    }

    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
        let rows: Vec<AppRow> = self
            .statement(|mut session| async move {
                let query = session
                    .query_as(APPS_AFTER)
                    .bind(org_id.0)
                    // Every id is greater than the empty one.
                    .bind(after.map_or("", AppId::as_str))
                    .bind(i64::from(limit));
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter().map(App::try_from).collect()
    }

    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
        let row: Option<TenantRow> = self
            .statement(|mut session| async move {
                // No application has the empty id.
                let query = session.query_as(TENANT).bind(scope.org_id.0).bind(app_key(scope.app_id.as_ref()));
                let row = query.fetch_optional(&mut *session).await?;
                session.commit(row).await
            })
            .await?;
        row.map(Tenant::try_from).transpose()
    }
}

/// The row of [`TENANT`].
struct TenantRow {
    org: OrgRow,
    app: Option<AppRow>,
    /// Label, ARN, description and creation of each.
    profiles: Vec<(String, String, String, i64)>,
}

impl<'r> FromRow<'r, sqlx::postgres::PgRow> for TenantRow {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
        let org = OrgRow::from_row(row)?;
        let Some(app_id) = row.try_get("app_id")? else {
            return Ok(Self { org, app: None, profiles: Vec::new() });
        };
        let app = AppRow {
            org_id: row.try_get("org_id")?,
            app_id,
            config: row.try_get("app_config")?,
            version: row.try_get("app_version")?,
            created_at: row.try_get("app_created_at")?,
            updated_at: row.try_get("app_updated_at")?,
        };
        // An aggregate over nothing is NULL.
        let texts =
            |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<Vec<String>>, _>(column)?.unwrap_or_default());
        let created: Vec<i64> = row.try_get::<Option<_>, _>("created")?.unwrap_or_default();
        let labels = texts("labels")?.into_iter().zip(texts("arns")?).zip(texts("descriptions")?).zip(created);
        let profiles = labels.map(|(((label, arn), description), created_at)| (label, arn, description, created_at));
        Ok(Self { org, app: Some(app), profiles: profiles.collect() })
    }
}

impl TryFrom<TenantRow> for Tenant {
    type Error = StorageError;

    fn try_from(row: TenantRow) -> Result<Self> {
        let org = Org::try_from(row.org)?;
        let app = row.app.map(App::try_from).transpose()?;
        let profiles = match &app {
            None => Vec::new(),
            Some(app) => profile_rows(org.org_id, &app.app_id, row.profiles)?,
        };
        Ok(Self { org, app, profiles })
    }
}
