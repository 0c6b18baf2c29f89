//! What an instance remembers between consolidations.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::Mutex;

use super::counters::Snapshot;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId};

/// Days of organizations remembered at most: two open days of a thousand busy organizations. A forgotten one is read
/// again.
const MOST_DAYS: u64 = 2_048;
/// Totals of one day remembered at most, some hundred bytes each; a larger day is read again in every pass.
const MOST_TOTALS: usize = 10_000;
/// Marks remembered at most. A mark that is forgotten stays until it is seen again.
const MOST_MARKS: u64 = 10_000;

/// One total of a day: an application's, or the organization's, of a label.
pub(super) type TotalOf = (Option<AppId>, ModelLabel);

/// Totals of a day as they are added up.
pub(super) type Sums = BTreeMap<TotalOf, Snapshot>;

/// What is stored of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) version: i128,
    pub(super) updated_at: Timestamp,
}

impl From<&Snapshot> for Stored {
    fn from(snapshot: &Snapshot) -> Self {
        Self { version: snapshot.version, updated_at: snapshot.updated_at }
    }
}

/// What is stored of a day.
pub(super) type StoredDay = BTreeMap<TotalOf, Stored>;

/// The memory of one store.
#[derive(Debug)]
pub(super) struct ConsolidationMemory {
    /// What a day's totals were when this instance last saw them; `None` where it has not, or is not sure.
    days: Cache<(OrgId, Day), Arc<Mutex<Option<StoredDay>>>>,
    /// What marked a day when this instance last looked.
    marks: Cache<(OrgId, Day), Arc<str>>,
}

impl Default for ConsolidationMemory {
    fn default() -> Self {
        Self { days: Cache::new(MOST_DAYS), marks: Cache::new(MOST_MARKS) }
    }
}

impl ConsolidationMemory {
    /// What is remembered of a day. Whoever consolidates it holds the lock.
    pub(super) async fn of_day(&self, org_id: OrgId, day: Day) -> Arc<Mutex<Option<StoredDay>>> {
        self.days.get_with((org_id, day), async { Arc::default() }).await
    }

    /// What to remember of a day.
    pub(super) fn worth_keeping(stored: StoredDay) -> Option<StoredDay> {
        Some(stored).filter(|stored| stored.len() <= MOST_TOTALS)
    }

    /// A day is marked.
    pub(super) async fn saw_mark(&self, org_id: OrgId, day: Day, by: &str) {
        self.marks.insert((org_id, day), by.into()).await;
    }

    /// What marked a day when this instance last looked, forgotten with this answer.
    pub(super) async fn take_mark(&self, org_id: OrgId, day: Day) -> Option<Arc<str>> {
        self.marks.remove(&(org_id, day)).await
    }
}
