//! How the audit trail fails, and how much was written into it.

use std::sync::Mutex;

use async_trait::async_trait;
use bedrock_cost_keeper::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use bedrock_cost_keeper::domain::ids::OrgId;
use bedrock_cost_keeper::storage::AuditTrail;
use tokio::sync::watch;

use super::{Fault, FaultyStore, PATIENCE, Result};

#[derive(Debug, Default)]
pub(super) struct AuditFaults {
    append: Mutex<Option<Fault>>,
    settle: Mutex<Option<Fault>>,
    /// Calls of `append_audit` that are over, whatever came of them.
    appended: watch::Sender<usize>,
}

impl FaultyStore {
    /// How `append_audit` fails from now on.
    pub(crate) fn fail_announcements(&self, fault: impl Into<Option<Fault>>) {
        *self.audit.append.lock().unwrap() = fault.into();
    }

    /// How `settle_audit` fails from now on.
    pub(crate) fn fail_settlements(&self, fault: impl Into<Option<Fault>>) {
        *self.audit.settle.lock().unwrap() = fault.into();
    }

    /// How often `append_audit` was called.
    pub(crate) fn appended(&self) -> usize {
        *self.audit.appended.borrow()
    }

    /// Returns once `append_audit` was called this often.
    pub(crate) async fn have_appended(&self, times: usize) {
        let mut appended = self.audit.appended.subscribe();
        tokio::time::timeout(PATIENCE, appended.wait_for(|calls| *calls >= times))
            .await
            .expect("it is called")
            .unwrap();
    }
}

#[async_trait]
impl AuditTrail for FaultyStore {
    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        let fault = *self.audit.append.lock().unwrap();
        let appended = match fault {
            None => self.inner.append_audit(event).await,
            Some(Fault::AnswerLost) => self.inner.append_audit(event).await.and(Err(Fault::AnswerLost.error())),
            Some(fault) => Err(fault.error()),
        };
        self.audit.appended.send_modify(|calls| *calls += 1);
        appended
    }

    async fn settle_audit(
        &self,
        position: AuditPosition,
        org_id: Option<OrgId>,
        outcome: AuditOutcome,
    ) -> Result<bool> {
        let fault = *self.audit.settle.lock().unwrap();
        match fault {
            None => self.inner.settle_audit(position, org_id, outcome).await,
            Some(fault) => Err(fault.error()),
        }
    }

    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        self.inner.audit_events(org_id, before, limit).await
    }
}
