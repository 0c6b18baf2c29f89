//! Totals that follow usage at a distance, and who brings them up to date.
//!
//! A store whose totals change in the same step as the usage has nothing to do here. One that spreads its counters over
//! shards adds them up when it is told to; which instance tells it is decided by a lease.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::Result;
use crate::domain::calendar::Day;
use crate::domain::ids::OrgId;

/// How far consolidation has come, as the instance that leads it last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsolidationProgress {
    /// Whatever was committed before this instant is in the totals of every organization whose totals changed
    /// lately.
    pub active_until: Timestamp,
    /// Whatever was committed before this instant is in the totals of every organization.
    pub all_until: Timestamp,
}

/// Who leads consolidation, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsolidationLease {
    /// The instance.
    pub holder: Uuid,
    /// From this instant on anybody may take over.
    pub expires_at: Timestamp,
    /// How far it has come; `None` before the first pass ever.
    pub progress: Option<ConsolidationProgress>,
}

/// Bringing totals up to date, where they are not always.
#[async_trait]
pub trait Consolidation: Send + Sync {
    /// Whether totals change only when [`consolidate`](Self::consolidate) is called. Where not, the other methods have
    /// nothing to do: `consolidate` answers `false`, `unconsolidated` nothing, and nobody needs a lease.
    fn consolidates(&self) -> bool;

    /// Brings the totals of an organization's day up to every submission and correction that was committed before the
    /// call, and answers whether any changed. Totals never go back to an older state, however many instances do this
    /// at once. It also ends what [`unconsolidated`](Self::unconsolidated) said of that day before the call.
    async fn consolidate(&self, org_id: OrgId, day: Day) -> Result<bool>;

    /// At most `limit` days of organizations that changed although nobody would look at them any more: days that were
    /// corrected, and the last days of a deleted organization.
    async fn unconsolidated(&self, limit: u32) -> Result<Vec<(OrgId, Day)>>;

    /// Who leads; `None` where nobody ever did.
    async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>>;

    /// Takes or renews the lease and publishes the progress that comes with it, where nobody else holds one that is
    /// unexpired at `now`; else nothing changes and the answer is `false`. Of concurrent calls of different holders at
    /// most one gets it.
    async fn lease_consolidation(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool>;
}
