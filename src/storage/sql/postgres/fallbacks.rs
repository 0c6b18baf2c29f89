//! Sticky fallback states.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::PostgresStorage;
use super::attempts::{Failure, Repeat};
use super::session::Session;
use super::totals::{PeriodRow, by_label};
use crate::domain::calendar::Day;
use crate::domain::ids::{ModelLabel, Scope};
use crate::domain::selection::{FallbackReason, FallbackState};
use crate::storage::contract::{FallbackSwap, Fallbacks, Result, SelectionState};
use crate::storage::sql::columns::{app_key, instant, millis};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::rows::{FallbackRow, version_column};

const STATE: &str = "SELECT model_label, model_index, previous_model_label, reason, reason_label, activated_at, version \
     FROM fallback_states WHERE org_id = $1 AND app_id = $2 AND day = $3";

/// The state beside every total, so that one statement sees both at one moment. Either may be missing: then its columns
/// are NULL.
const SELECTION: &str = "SELECT f.model_label, f.model_index, f.previous_model_label, f.reason, f.reason_label, \
     f.activated_at, f.version, t.period, t.app_id, t.model_label AS total_label, t.cost_micros, t.cost_residue, \
     t.drift_micros, t.drift_residue, t.requests, t.errors, t.unpriced_requests, t.input_tokens, t.output_tokens, \
     t.cache_read_input_tokens, t.cache_write_input_tokens, t.updated_at \
     FROM (VALUES (1)) AS always (x) \
     LEFT JOIN fallback_states f ON f.org_id = $1 AND f.app_id = $2 AND f.day = $3 \
     LEFT JOIN totals t ON t.org_id = $1 AND t.app_id = $2 AND t.period IN ($3, $4)";

#[async_trait]
impl Fallbacks for PostgresStorage {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
        let rows = self
            .statement(|mut session| async move {
                let query = session
                    .query(SELECTION)
                    .bind(scope.org_id.0)
                    .bind(app_key(scope.app_id.as_ref()))
                    .bind(day.to_string())
                    .bind(day.month().to_string());
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        selection(&rows, day)
    }

    async fn fallback(&self, scope: &Scope, day: Day) -> Result<Option<FallbackState>> {
        self.statement(|mut session| async move {
            let state = find(&mut session, scope, day).await?;
            session.commit(state).await
        })
        .await
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
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (org_id, app_id, day) DO NOTHING"
        } else {
            "UPDATE fallback_states SET model_label = $4, model_index = $5, previous_model_label = $6, reason = $7, \
             reason_label = $8, activated_at = $9, version = $10, expires_at = $11 \
             WHERE org_id = $1 AND app_id = $2 AND day = $3 AND version = $10 - 1"
        };
        let (reason, reason_label) = match &next.reason {
            FallbackReason::QuotaExceeded(label) => ("QUOTA_EXCEEDED", Some(label)),
            FallbackReason::ManualOverride => ("MANUAL_OVERRIDE", None),
        };
        let version = version_column(next.version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let swapped = session
                .query(sql)
                .bind(scope.org_id.0)
                .bind(app_key(scope.app_id.as_ref()))
                .bind(day.to_string())
                .bind(next.model_label.as_str())
                .bind(i32::from(next.model_index))
                .bind(next.previous_model_label.as_str())
                .bind(reason)
                .bind(reason_label.map(ModelLabel::as_str))
                .bind(millis(next.activated_at))
                .bind(version)
                .bind(millis(expires_at))
                .execute(&mut *session)
                .await?;
            if swapped.rows_affected() == 0 {
                // A later statement sees what won meanwhile.
                let current = find(&mut session, scope, day).await?;
                return session.commit(FallbackSwap::Lost(current)).await;
            }
            session.commit(FallbackSwap::Stored).await
        })
        .await
    }

    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()> {
        self.statement(|mut session| async move {
            session
                .query("DELETE FROM fallback_states WHERE org_id = $1 AND app_id = $2 AND day = $3")
                .bind(scope.org_id.0)
                .bind(app_key(scope.app_id.as_ref()))
                .bind(day.to_string())
                .execute(&mut *session)
                .await?;
            session.commit(()).await
        })
        .await
    }
}

async fn find(session: &mut Session, scope: &Scope, day: Day) -> Result<Option<FallbackState>, Failure> {
    let row: Option<FallbackRow> = session
        .query_as(STATE)
        .bind(scope.org_id.0)
        .bind(app_key(scope.app_id.as_ref()))
        .bind(day.to_string())
        .fetch_optional(&mut **session)
        .await?;
    Ok(row.map(FallbackState::try_from).transpose()?)
}

/// The rows of [`SELECTION`].
fn selection(rows: &[PgRow], day: Day) -> Result<SelectionState> {
    let mut fallback = None;
    let mut totals = Vec::new();
    for row in rows {
        if row.try_get::<Option<i64>, _>("version")?.is_some() {
            fallback = Some(FallbackRow::from_row(row)?.try_into()?);
        }
        if row.try_get::<Option<&str>, _>("period")?.is_some() {
            totals.push(PeriodRow::labelled("total_label", row)?);
        }
    }
    let updated_at = totals.iter().map(|row| row.updated_at).max();
    let updated_at =
        updated_at.map(|millis| instant(millis).ok_or_else(|| corrupt("totals.updated_at"))).transpose()?;
    Ok(SelectionState { totals: by_label(totals, day)?, updated_at, fallback })
}
