//! Correcting what was recorded without a price, or with a stand-in for one.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, OrgId, RequestId, Scope};
use crate::domain::usage::{Figures, UsageKey, UsageRecord};

/// Which records to correct.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepriceFilter {
    /// Only an organization's, or only one application's; `None` is everybody's.
    pub scope: Option<Scope>,
    /// Only of this local day and later ones.
    pub from: Option<Day>,
    /// Only of this local day and earlier ones.
    pub to: Option<Day>,
}

/// A place in the order of repriceable records. The order of places is that of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepricePosition {
    /// The organization, by its bytes.
    pub org_id: OrgId,
    /// The local day.
    pub day: Day,
    /// The application, by its bytes.
    pub app_id: AppId,
    /// The submission, by its bytes.
    pub request_id: RequestId,
}

impl RepricePosition {
    /// Where a record stands.
    #[must_use]
    pub fn of(record: &UsageRecord) -> Self {
        Self { org_id: record.org_id, day: record.day, app_id: record.app_id.clone(), request_id: record.request_id }
    }
}

/// One correction: a compare-and-swap of a record's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reprice {
    /// Which submission.
    pub key: UsageKey,
    /// The figures the correction was computed from.
    pub expected: Figures,
    /// The figures that replace them.
    pub new: Figures,
}

/// What became of one correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepriceOutcome {
    /// Committed: the record has the new figures, and its totals changed by the difference.
    Applied,
    /// The record has other figures than expected, or has its price; nothing changed.
    Stale,
    /// The record is not there, or no longer has all its totals; nothing changed.
    Gone,
    /// A counter would leave its range, below zero included; nothing changed.
    Overflow,
}

/// Correcting recorded usage.
#[async_trait]
pub trait Repricing: Send + Sync {
    /// At most `limit` unpriced or estimated records that pass the filter, strictly after `after`, in ascending order
    /// of [`RepricePosition`].
    ///
    /// A record keeps its position for life, so a walk in pages meets everything that was there when it began and
    /// stays repriceable, and nothing twice.
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>>;

    /// Corrects records, and answers one outcome per correction, in order; at most
    /// [`max_batch`](super::IngestLimits::max_batch) of them.
    ///
    /// * A record and every counter it was added to (application and organization, day and month) change in one atomic
    ///   step, the counters by the exact difference of what the record adds to them: cost, drift and unpriced
    ///   requests. Nothing is counted anew and nothing becomes negative.
    /// * A correction applies only to an unpriced or estimated record whose figures are the expected ones, else it is
    ///   stale. So of concurrent corrections from the same figures, from any instance, exactly one applies, and
    ///   repeating a correction changes nothing. Inside one call each sees the corrections before it.
    /// * The charged cost of a record whose cost the client gave stays, whatever the new figures say.
    /// * One refused correction does not affect the others.
    /// * Totals that changed say so with `repriced_at`, unless they changed later.
    /// * `Err` means that nothing of the call was committed, or that repeating it reports what was as stale.
    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>>;
}
