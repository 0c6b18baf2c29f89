//! The audit trail.

use async_trait::async_trait;

use super::SqliteStorage;
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::OrgId;
use crate::storage::contract::{AuditTrail, Result};
use crate::storage::sql::audit::{AuditRow, page_start};
use crate::storage::sql::columns::millis;

const APPEND: &str = "INSERT INTO audit_events (at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before, state_after, request_id, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
     ON CONFLICT (at, id) DO NOTHING";

pub(super) const SETTLE: &str = "UPDATE audit_events SET outcome = ?1 \
     WHERE at = ?2 AND id = ?3 AND org_id IS ?4 AND outcome = 'pending'";

// Both walk an index from a position, so a page costs the same wherever it is.
pub(super) const EVERY_EVENT: &str = "SELECT at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before, state_after, request_id, address FROM audit_events \
     WHERE (at, id) < (?1, ?2) ORDER BY at DESC, id DESC LIMIT ?3";
pub(super) const EVENTS_OF_ORG: &str = "SELECT at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before, state_after, request_id, address FROM audit_events \
     WHERE (at, id) < (?1, ?2) AND org_id = ?4 ORDER BY at DESC, id DESC LIMIT ?3";

#[async_trait]
impl AuditTrail for SqliteStorage {
    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let row = AuditRow::from(event);
        let mut transaction = self.write().await?;
        sqlx::query(APPEND)
            .bind(row.at)
            .bind(row.id)
            .bind(row.org_id)
            .bind(row.app_id)
            .bind(row.actor_kind)
            .bind(row.actor_id)
            .bind(row.action)
            .bind(row.outcome)
            .bind(row.subject)
            .bind(row.state_before)
            .bind(row.state_after)
            .bind(row.request_id)
            .bind(row.address)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn settle_audit(
        &self,
        position: AuditPosition,
        org_id: Option<OrgId>,
        outcome: AuditOutcome,
    ) -> Result<bool> {
        if outcome == AuditOutcome::Pending {
            return Ok(false);
        }
        let mut transaction = self.write().await?;
        let settled = sqlx::query(SETTLE)
            .bind(outcome.to_string())
            .bind(millis(position.at))
            .bind(position.id)
            .bind(org_id.map(|org_id| org_id.0))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(settled > 0)
    }

    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        let (at, id) = page_start(before);
        let query = match org_id {
            None => sqlx::query_as(EVERY_EVENT).bind(at).bind(id).bind(limit),
            Some(org_id) => sqlx::query_as(EVENTS_OF_ORG).bind(at).bind(id).bind(limit).bind(org_id.0),
        };
        let rows: Vec<AuditRow> = query.fetch_all(&self.readers).await?;
        rows.into_iter().map(AuditEvent::try_from).collect()
    }
}
