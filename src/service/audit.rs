//! The audit trail: every administrative change is announced in it, then made, then settled.
//!
//! The order matters. An announcement that cannot be stored refuses the change, so nothing changes without a trail. A
//! change whose outcome could not be stored, or that the store itself could not tell the outcome of, stays pending in
//! the trail: it may have happened, and the trail does not claim to know more than the service does.
//!
//! What is refused before anything is tried, and what turns out to change nothing, leaves no event.

pub mod refusals;
mod state;

use serde::Serialize;
use serde_json::Value;

use super::access::{Origin, ProvisioningAccess, Requester};
use super::error::ServiceError;
use super::{Result, Services};
use crate::domain::audit::{AuditAction, AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::{ClientId, OrgId, Scope};
use crate::storage::StorageError;

/// What is done to whom, as the trail has it.
#[derive(Debug)]
pub(crate) struct Entry {
    action: AuditAction,
    target: Option<Scope>,
    subject: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Entry {
    /// Something done to an organization or application, or to all of the service.
    pub(crate) fn new(action: AuditAction, target: impl Into<Option<Scope>>) -> Self {
        Self { action, target: target.into(), subject: None, before: None, after: None }
    }

    /// What of the target.
    pub(crate) fn subject(self, subject: &impl ToString) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    /// What was there before and is there afterwards. Only members that differ are kept. Nothing secret may be in
    /// either.
    pub(crate) fn states<T: Serialize>(self, before: Option<&T>, after: Option<&T>) -> Self {
        let (before, after) = state::differences(before, after);
        Self { before, after, ..self }
    }
}

/// An event in the trail whose outcome is not known yet.
#[must_use = "a change that is over is settled"]
#[derive(Debug)]
pub(crate) struct Announced(AuditEvent);

impl Services {
    /// Announces a change. Only then it may be made.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the trail cannot be written: then the change must not be made.
    pub(crate) async fn announce(&self, by: &Requester, entry: Entry) -> Result<Announced> {
        let Entry { action, target, subject, before, after } = entry;
        let event = AuditEvent {
            position: AuditPosition { at: self.now(), id: self.random.uuid()? },
            actor: by.actor.clone(),
            action,
            outcome: AuditOutcome::Pending,
            target,
            subject,
            before,
            after,
            request_id: by.origin.request_id.clone(),
            address: by.origin.address,
        };
        match self.storage.append_audit(&event).await {
            Ok(()) => Ok(Announced(event)),
            Err(error) => {
                metrics::counter!("audit_write_failures_total").increment(1);
                Err(ServiceError::Unavailable(format!("the audit trail cannot be written: {error}")))
            }
        }
    }

    /// Says what a change came to. Where that cannot be stored, the change stands and its event stays pending.
    pub(crate) async fn settle(&self, Announced(mut event): Announced, outcome: AuditOutcome) {
        match self.storage.settle_audit(event.position, event.org_id(), outcome).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(event_id = %event.position.id, "an audit event to be settled is not there, or was settled");
            }
            Err(error) => {
                metrics::counter!("audit_write_failures_total").increment(1);
                tracing::warn!(%error, event_id = %event.position.id, "an audit event could not be settled; it stays pending");
            }
        }
        event.outcome = outcome;
        log(&event);
    }

    /// A change whose outcome nobody knows stays pending in the trail.
    pub(crate) fn leave_pending(Announced(event): Announced, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, event_id = %event.position.id, "what became of a change is not known; its event stays pending");
        log(&event);
    }

    /// Makes a change that is one call of the store, between its announcement and its settlement. `done` tells whether
    /// what the store answers means that it was made.
    ///
    /// # Errors
    /// As [`announce`](Self::announce); what the store answers is the value.
    pub(crate) async fn audited<T: Send>(
        &self,
        by: &Requester,
        entry: Entry,
        change: impl Future<Output = Result<T, StorageError>> + Send,
        done: impl FnOnce(&T) -> bool + Send,
    ) -> Result<Result<T, StorageError>> {
        let announced = self.announce(by, entry).await?;
        let answer = change.await;
        match &answer {
            Ok(answer) if done(answer) => self.settle(announced, AuditOutcome::Succeeded).await,
            Ok(_) | Err(StorageError::AlreadyExists | StorageError::Conflict) => {
                self.settle(announced, AuditOutcome::Refused).await;
            }
            // The store may have made it and failed to say so.
            Err(error @ (StorageError::Unavailable(_) | StorageError::Corrupt(_) | StorageError::Backend(_))) => {
                Self::leave_pending(announced, error);
            }
        }
        Ok(answer)
    }

    /// Notes that somebody who proved nothing was refused. Returns at once, whatever the store does, and neither its
    /// duration nor anything else depends on whether a claimed client exists.
    pub fn audit_refusal(&self, action: AuditAction, claimed: Option<&ClientId>, origin: &Origin) {
        self.refusals.note(action, claimed, origin);
    }

    /// At most `limit` events, the latest first, strictly before `before`: of one organization, or all. Also of an
    /// organization that is registered no more.
    ///
    /// # Errors
    /// From the store.
    pub async fn audit_events(
        &self,
        _access: &ProvisioningAccess,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        Ok(self.storage.audit_events(org_id, before, limit).await?)
    }
}

/// One line for an event that is over.
fn log(event: &AuditEvent) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "audit",
                event_id = %event.position.id,
                actor = event.actor.kind(),
                actor_id = event.actor.id().as_deref(),
                action = %event.action,
                outcome = %event.outcome,
                org_id = event.org_id().map(tracing::field::display),
                app_id = event.target.as_ref().and_then(|scope| scope.app_id.as_ref()).map(tracing::field::display),
                subject = event.subject.as_deref(),
                request_id = event.request_id.as_str(),
                address = event.address.map(tracing::field::display),
                "audit event"
            )
        };
    }
    let (action, outcome) = (event.action.to_string(), event.outcome.to_string());
    metrics::counter!("audit_events_total", "action" => action, "outcome" => outcome).increment(1);
    if is_suspicious(event) { line!(warn) } else { line!(info) }
}

/// Whether somebody presented what does not open the door.
fn is_suspicious(event: &AuditEvent) -> bool {
    use AuditAction::{KeyRefused, LoginRefused, LoginThrottled, SecretRetrieved};
    event.outcome == AuditOutcome::Refused
        && matches!(event.action, KeyRefused | LoginRefused | LoginThrottled | SecretRetrieved)
}
