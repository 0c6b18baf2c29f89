//! Events of the audit trail as rows, the same for every database.

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::audit::{AuditActor, AuditEvent, AuditPosition};
use crate::domain::ids::{OrgId, Scope};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{instant, millis};
use crate::storage::sql::error::corrupt;

/// An event, column by column.
#[derive(FromRow)]
pub(crate) struct AuditRow {
    pub(crate) at: i64,
    pub(crate) id: Uuid,
    pub(crate) org_id: Option<Uuid>,
    pub(crate) app_id: Option<String>,
    pub(crate) actor_kind: String,
    pub(crate) actor_id: Option<String>,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) subject: Option<String>,
    pub(crate) state_before: Option<String>,
    pub(crate) state_after: Option<String>,
    pub(crate) request_id: String,
    pub(crate) address: Option<String>,
}

impl From<&AuditEvent> for AuditRow {
    fn from(event: &AuditEvent) -> Self {
        let json = |state: &Option<Value>| state.as_ref().map(Value::to_string);
        let target = event.target.as_ref();
        Self {
            at: millis(event.position.at),
            id: event.position.id,
            org_id: target.map(|scope| scope.org_id.0),
            app_id: target.and_then(|scope| scope.app_id.as_ref()).map(ToString::to_string),
            actor_kind: event.actor.kind().to_owned(),
            actor_id: event.actor.id(),
            action: event.action.to_string(),
            outcome: event.outcome.to_string(),
            subject: event.subject.clone(),
            state_before: json(&event.before),
            state_after: json(&event.after),
            request_id: event.request_id.clone(),
            address: event.address.map(|address| address.to_string()),
        }
    }
}

impl TryFrom<AuditRow> for AuditEvent {
    type Error = StorageError;

    fn try_from(row: AuditRow) -> Result<Self, StorageError> {
        let bad = |column: &str| corrupt(&format!("audit_events.{column}"));
        let json = |state: Option<String>, column: &str| {
            state.map(|text| serde_json::from_str(&text).map_err(|_| bad(column))).transpose()
        };
        let app_id = row.app_id.map(|app_id| app_id.parse().map_err(|_| bad("app_id"))).transpose()?;
        let target = match (row.org_id, app_id) {
            (Some(org_id), app_id) => Some(Scope { org_id: OrgId(org_id), app_id }),
            (None, None) => None,
            (None, Some(_)) => return Err(bad("org_id")),
        };
        let actor = AuditActor::from_parts(&row.actor_kind, row.actor_id.as_deref());
        Ok(Self {
            position: AuditPosition { at: instant(row.at).ok_or_else(|| bad("at"))?, id: row.id },
            actor: actor.ok_or_else(|| bad("actor_kind"))?,
            action: row.action.parse().map_err(|_| bad("action"))?,
            outcome: row.outcome.parse().map_err(|_| bad("outcome"))?,
            target,
            subject: row.subject,
            before: json(row.state_before, "state_before")?,
            after: json(row.state_after, "state_after")?,
            request_id: row.request_id,
            address: row.address.map(|text| text.parse().map_err(|_| bad("address"))).transpose()?,
        })
    }
}

/// Where a page begins, as values that every event of it is strictly before: no event is at the end of the calendar.
pub(crate) fn page_start(before: Option<AuditPosition>) -> (i64, Uuid) {
    before.map_or((i64::MAX, Uuid::max()), |position| (millis(position.at), position.id))
}
