//! The audit trail, for administrators.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::error::ApiError;
use super::extract::Query;
use super::pagination::{DEFAULT_LIMIT, MAX_LIMIT, cut, decode_cursor, limit};
use super::responses::CommonErrors;
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::audit::{AuditAction, AuditActor, AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::{InvalidId, OrgId};
use crate::service::access::ProvisioningAccess;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only events of this organization, also one that is deleted; default: all.
    #[param(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: Option<String>,
    /// Most events to answer, 1–200; default 50.
    #[param(minimum = 1, maximum = 200, example = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"type": "administrator", "id": "9f86d081"}))]
pub struct AuditActorResponse {
    /// `administrator`, the holder of a provisioning key; `client`, with an access token; `operator`, who ran a command
    /// on the service's host; `anonymous`, who proved nothing.
    #[serde(rename = "type")]
    #[schema(rename = "type", pattern = "^(administrator|client|operator|anonymous)$", example = "administrator")]
    kind: &'static str,
    /// The id of the provisioning key (not the key), or of the client; absent for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "9f86d081")]
    id: Option<String>,
}

impl From<&AuditActor> for AuditActorResponse {
    fn from(actor: &AuditActor) -> Self {
        Self { kind: actor.kind(), id: actor.id() }
    }
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "event_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "at": "2026-01-23T15:30:45.123Z",
    "actor": {"type": "administrator", "id": "9f86d081"},
    "action": "org_updated",
    "outcome": "succeeded",
    "org_id": "550e8400-e29b-41d4-a716-446655440000",
    "before": {"quotas": {"premium": 10_000_000}},
    "after": {"quotas": {"premium": 20_000_000}},
    "request_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "address": "192.0.2.17"
}))]
pub struct AuditEventResponse {
    /// Names the event.
    #[schema(format = Uuid, example = "0f8fad5b-d9cb-469f-a165-70867728950e")]
    event_id: String,
    /// When it was announced, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    at: String,
    /// Who did it.
    actor: AuditActorResponse,
    /// What: `org_created`, `org_updated`, `org_deleted`, `app_created`, `app_updated`, `app_deleted`,
    /// `secret_rotated`, `secret_retrieved`, `tokens_revoked`, `token_revoked`, `fallback_set`, `fallback_cleared`,
    /// `profile_registered`, `profile_deleted`, `usage_repriced`, `login_throttled`, `login_refused`, `key_refused`.
    #[schema(value_type = String, example = "org_updated")]
    action: AuditAction,
    /// `succeeded`, `refused` (nothing changed), or `pending`: under way, or its end is not known and it may have
    /// happened.
    #[schema(value_type = String, pattern = "^(pending|succeeded|refused)$", example = "succeeded")]
    outcome: AuditOutcome,
    /// The organization it concerns; absent where it concerns the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: Option<String>,
    /// The application it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    app_id: Option<String>,
    /// What of it: a label, a day, a session, the client id that was claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "premium")]
    subject: Option<String>,
    /// As it was: members that differ, or `{"omitted_bytes": n}` where they are too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"quotas": {"premium": 10_000_000}}))]
    before: Option<Value>,
    /// As it is since: members that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"quotas": {"premium": 20_000_000}}))]
    after: Option<Value>,
    /// `X-Request-Id` of the request, or an id of the command that was run.
    #[schema(example = "7c9e6679-7425-40de-944b-e07fc1f90ae7")]
    request_id: String,
    /// Address of the caller, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "192.0.2.17")]
    address: Option<String>,
}

impl From<AuditEvent> for AuditEventResponse {
    fn from(event: AuditEvent) -> Self {
        Self {
            event_id: event.position.id.to_string(),
            at: instant(event.position.at),
            actor: (&event.actor).into(),
            action: event.action,
            outcome: event.outcome,
            org_id: event.org_id().map(|org_id| org_id.to_string()),
            app_id: event.target.and_then(|scope| scope.app_id).map(|app_id| app_id.to_string()),
            subject: event.subject,
            before: event.before,
            after: event.after,
            request_id: event.request_id,
            address: event.address.map(|address| address.to_string()),
        }
    }
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditListResponse {
    /// Events, the latest first.
    items: Vec<AuditEventResponse>,
    /// Pass as `cursor` for the next page, of earlier events; null on the last one.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// A position as it stands in a cursor.
fn written(position: AuditPosition) -> String {
    format!("{}.{}", position.at.as_millisecond(), position.id.simple())
}

fn read(cursor: &str) -> Option<AuditPosition> {
    let (at, id) = cursor.split_once('.')?;
    Some(AuditPosition { at: Timestamp::from_millisecond(at.parse().ok()?).ok()?, id: Uuid::try_parse(id).ok()? })
}

/// Read the audit trail
///
/// Administrative changes, and attempts with wrong credentials, the latest first. In pages: pass `next_cursor` as
/// `cursor` until it is null; what happens meanwhile moves nothing in later pages. Secrets, tokens and keys are never in
/// it.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "Audit",
    params(AuditQuery),
    security(("api_key" = [])),
    responses((status = 200, description = "A page", body = AuditListResponse), CommonErrors),
)]
pub async fn list_audit_events(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Json<AuditListResponse>> {
    let limit = limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let org_id: Option<OrgId> = query
        .org_id
        .map(|org_id| org_id.parse())
        .transpose()
        .map_err(|error: InvalidId| ApiError::invalid("org_id", format!("must be {}", error.expected)))?;
    let before = query.cursor.map(|cursor| decode_cursor(&cursor, read)).transpose()?;
    // One more than asked for tells whether there is a next page.
    let mut events = state.services.audit_events(&access, org_id, before, limit + 1).await?;
    let next_cursor = cut(&mut events, limit, |event| written(event.position));
    Ok(Json(AuditListResponse { items: events.into_iter().map(Into::into).collect(), next_cursor }))
}
