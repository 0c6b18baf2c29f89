//! Taking over totals that another store counted.

use async_trait::async_trait;

use super::{DailyTotal, Result};
use crate::domain::ids::OrgId;

/// What became of one total that was brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalImport {
    /// It counts here now.
    Imported,
    /// This application has totals of that label and day already; nothing changed.
    Present,
    /// A counter would leave its range; nothing changed.
    Overflow,
}

/// Moving from another store to this one.
#[async_trait]
pub trait Moving: Send + Sync {
    /// Takes over daily totals of applications, and answers one outcome per total, in order; at most
    /// [`max_batch`](super::IngestLimits::max_batch) of them.
    ///
    /// * A total counts in all four sums it belongs to (application and organization, day and month) or, where the
    ///   application already has a total of that label and day here, in none. So repeating a call changes nothing.
    /// * Each total is one atomic step, and none affects another.
    /// * A total without an application is refused with
    ///   [`StorageError::Backend`](crate::storage::StorageError::Backend): organizations' sums follow from the others.
    /// * `Err` means that nothing of the call was taken over, or that repeating it reports what was as present.
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>>;
}
