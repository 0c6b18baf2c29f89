//! The audit trail.

use async_trait::async_trait;

use super::PostgresStorage;
use super::attempts::Repeat;
use super::session::Mode;
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::OrgId;
use crate::storage::contract::{AuditTrail, Result};
use crate::storage::sql::audit::{AuditRow, page_start};
use crate::storage::sql::columns::millis;

const APPEND: &str = "INSERT INTO audit_events (at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before, state_after, request_id, address) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11::text::json, $12, $13) \
     ON CONFLICT (at, id) DO NOTHING";

const SETTLE: &str = "UPDATE audit_events SET outcome = $1 \
     WHERE at = $2 AND id = $3 AND org_id IS NOT DISTINCT FROM $4 AND outcome = 'pending'";

// Both walk an index from a position, so a page costs the same wherever it is.
const EVERY_EVENT: &str = "SELECT at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before::text AS state_before, state_after::text AS state_after, request_id, address FROM audit_events \
     WHERE (at, id) < ($1, $2) ORDER BY at DESC, id DESC LIMIT $3";
const EVENTS_OF_ORG: &str = "SELECT at, id, org_id, app_id, actor_kind, actor_id, action, outcome, subject, \
     state_before::text AS state_before, state_after::text AS state_after, request_id, address FROM audit_events \
     WHERE (at, id) < ($1, $2) AND org_id = $4 ORDER BY at DESC, id DESC LIMIT $3";

#[async_trait]
impl AuditTrail for PostgresStorage {
    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let row = &AuditRow::from(event);
        self.statement(|mut session| async move {
            session
                .query(APPEND)
                .bind(row.at)
                .bind(row.id)
                .bind(row.org_id)
                .bind(row.app_id.as_deref())
                .bind(row.actor_kind.as_str())
                .bind(row.actor_id.as_deref())
                .bind(row.action.as_str())
                .bind(row.outcome.as_str())
                .bind(row.subject.as_deref())
                .bind(row.state_before.as_deref())
                .bind(row.state_after.as_deref())
                .bind(row.request_id.as_str())
                .bind(row.address.as_deref())
                .execute(&mut *session)
                .await?;
            session.commit(()).await
        })
        .await
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
        // A second answer would be about what the first attempt did.
        self.run(Mode::Statement, Repeat::UnlessCommitted, self.prompt(), |mut session| async move {
            let settled = session
                .query(SETTLE)
                .bind(outcome.to_string())
                .bind(millis(position.at))
                .bind(position.id)
                .bind(org_id.map(|org_id| org_id.0))
                .execute(&mut *session)
                .await?
                .rows_affected();
            session.commit(settled > 0).await
        })
        .await
    }

    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        let (at, id) = page_start(before);
        let rows: Vec<AuditRow> = self
            .statement(|mut session| async move {
                let sql = if org_id.is_some() { EVENTS_OF_ORG } else { EVERY_EVENT };
                let query = session.query_as(sql).bind(at).bind(id).bind(i64::from(limit));
                let query = match org_id {
                    None => query,
                    Some(org_id) => query.bind(org_id.0),
                };
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter().map(AuditEvent::try_from).collect()
    }
}
