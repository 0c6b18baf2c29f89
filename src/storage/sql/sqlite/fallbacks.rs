//! Sticky fallback states.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::SqliteStorage;
use super::totals::scope_totals;
use crate::domain::calendar::Day;
use crate::domain::ids::{ModelLabel, Scope};
use crate::domain::selection::{FallbackReason, FallbackState};
use crate::storage::contract::{FallbackSwap, Fallbacks, Result, SelectionState};
use crate::storage::sql::columns::{app_key, millis};
use crate::storage::sql::rows::{FallbackRow, version_column};

#[async_trait]
impl Fallbacks for SqliteStorage {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
        let mut transaction = self.read().await?;
        let (totals, updated_at) = scope_totals(&mut transaction, scope, day).await?;
        let fallback = find(&mut transaction, scope, day).await?;
        transaction.commit().await?;
        Ok(SelectionState { totals, updated_at, fallback })
    }

    async fn fallback(&self, scope: &Scope, day: Day) -> Result<Option<FallbackState>> {
        let mut connection = self.readers.acquire().await?;
        find(&mut connection, scope, day).await
    }

    async fn swap_fallback(
        &self,
        scope: &Scope,
        day: Day,
        next: &FallbackState,
        expires_at: Timestamp,
    ) -> Result<FallbackSwap> {
        // A first state is inserted where there is none, a later one replaces exactly its predecessor.
        let sql = if next.version == 1 {
            "INSERT INTO fallback_states (org_id, app_id, day, model_label, model_index, previous_model_label, \
             reason, reason_label, activated_at, version, expires_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (org_id, app_id, day) DO NOTHING"
        } else {
            "UPDATE fallback_states SET model_label = ?4, model_index = ?5, previous_model_label = ?6, reason = ?7, \
             reason_label = ?8, activated_at = ?9, version = ?10, expires_at = ?11 \
             WHERE org_id = ?1 AND app_id = ?2 AND day = ?3 AND version = ?10 - 1"
        };
        let (reason, reason_label) = match &next.reason {
            FallbackReason::QuotaExceeded(label) => ("QUOTA_EXCEEDED", Some(label)),
            FallbackReason::ManualOverride => ("MANUAL_OVERRIDE", None),
        };
        let version = version_column(next.version)?;
        let mut transaction = self.write().await?;
        let swapped = sqlx::query(sql)
            .bind(scope.org_id.0)
            .bind(app_key(scope.app_id.as_ref()))
            .bind(day.to_string())
            .bind(next.model_label.as_str())
            .bind(next.model_index)
            .bind(next.previous_model_label.as_str())
            .bind(reason)
            .bind(reason_label.map(ModelLabel::as_str))
            .bind(millis(next.activated_at))
            .bind(version)
            .bind(millis(expires_at))
            .execute(&mut *transaction)
            .await?;
        if swapped.rows_affected() == 0 {
            let current = find(&mut transaction, scope, day).await?;
            return Ok(FallbackSwap::Lost(current));
        }
        transaction.commit().await?;
        Ok(FallbackSwap::Stored)
    }

    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM fallback_states WHERE org_id = ?1 AND app_id = ?2 AND day = ?3")
            .bind(scope.org_id.0)
            .bind(app_key(scope.app_id.as_ref()))
            .bind(day.to_string())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

async fn find(connection: &mut SqliteConnection, scope: &Scope, day: Day) -> Result<Option<FallbackState>> {
    let row: Option<FallbackRow> = sqlx::query_as(
        "SELECT model_label, model_index, previous_model_label, reason, reason_label, activated_at, version \
         FROM fallback_states WHERE org_id = ?1 AND app_id = ?2 AND day = ?3",
    )
    .bind(scope.org_id.0)
    .bind(app_key(scope.app_id.as_ref()))
    .bind(day.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(FallbackState::try_from).transpose()
}
