//! The audit trail.

use async_trait::async_trait;

use super::Result;
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::OrgId;

/// Administrative changes and security events, kept until their retention ends. Deleting a tenant leaves them.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Appends an event. Repeating the call with the same event changes nothing, also after it was settled.
    async fn append_audit(&self, event: &AuditEvent) -> Result<()>;

    /// Gives a pending event its outcome; `false` where there is no such event of that organization (`None`: of none)
    /// or it has an outcome already. [`AuditOutcome::Pending`] is none to give. Of any number of concurrent calls
    /// exactly one gets `true`.
    async fn settle_audit(&self, position: AuditPosition, org_id: Option<OrgId>, outcome: AuditOutcome)
    -> Result<bool>;

    /// At most `limit` events in descending order of position, strictly before `before`: of one organization, or all.
    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>>;
}
