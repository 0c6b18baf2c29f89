//! Submissions as transactions: which go together, which counters they add to, and what a cancellation says.
//!
//! Pure; [`ledger`](super::ledger) carries them out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::attributes::Item;
use super::counters::Tally;
use super::error::is_passing;
use super::ledger_keys::{CounterKey, MAX_SHARDS};
use super::writes::{NOTHING, REFUSED, Refusals};
use crate::domain::calendar::Day;
use crate::domain::ids::OrgId;
use crate::domain::usage::UsageRecord;
use crate::storage::contract::Result;
use crate::storage::error::StorageError;

/// Most steps of a transaction of submissions; DynamoDB takes 100. A little room for what a later version may add.
const MAX_STEPS: usize = 96;

/// Splits submissions, no two of the same key, into groups that fit a transaction each.
///
/// Those that add to the same counter go together, because a counter costs as much as a submission.
pub(super) fn groups<'a>(records: &[&'a UsageRecord]) -> Vec<Vec<&'a UsageRecord>> {
    let mut sorted = records.to_vec();
    // Stable: submissions of one counter stay in order.
    sorted.sort_by(|left, right| counted(left).cmp(&counted(right)));
    let mut groups: Vec<Vec<&UsageRecord>> = Vec::new();
    let mut steps = 0;
    for record in sorted {
        let next = steps_of(record, groups.last().and_then(|group| group.last().copied()));
        match groups.last_mut() {
            Some(group) if steps + next <= MAX_STEPS => {
                steps += next;
                group.push(record);
            }
            _ => {
                steps = steps_of(record, None);
                groups.push(vec![record]);
            }
        }
    }
    groups
}

/// What decides about the counter of a record, the shard apart.
fn counted(record: &UsageRecord) -> (OrgId, Day, &str, &str) {
    (record.org_id, record.day, record.app_id.as_str(), record.model_label.as_str())
}

/// Steps that a record needs after another one: itself, its pointer and its counter.
fn steps_of(record: &UsageRecord, after: Option<&UsageRecord>) -> usize {
    let new_counter = after.is_none_or(|after| counted(after) != counted(record));
    1 + usize::from(record.is_repriceable()) + usize::from(new_counter)
}

/// What is added to one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addition {
    pub(super) tally: Tally,
    /// The latest instant a submission of it was recorded.
    pub(super) last: Timestamp,
}

/// One transaction of submissions.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Submissions in the order of their steps, which come first, with the shard they are counted in.
    pub(super) records: Vec<(&'a UsageRecord, u8)>,
    /// The counters they add to.
    pub(super) additions: BTreeMap<CounterKey, Addition>,
}

impl<'a> Plan<'a> {
    /// Plans the `attempt`-th attempt to record submissions that fit one transaction.
    ///
    /// Whatever adds to the same day, application and label is counted in one shard: that of the first such submission,
    /// in the next attempt that of the second one, and so on. So whoever met another transaction on a counter probably
    /// meets none on the next.
    pub(super) fn of(records: &[&'a UsageRecord], attempt: usize) -> Self {
        let mut same: BTreeMap<_, Vec<&UsageRecord>> = BTreeMap::new();
        for record in records {
            same.entry(counted(record)).or_default().push(record);
        }
        let shard = |record: &UsageRecord| {
            let of_counter = same.get(&counted(record)).map(Vec::as_slice).unwrap_or_default();
            let chooses = attempt.checked_rem(of_counter.len()).and_then(|n| of_counter.get(n));
            chooses.map_or(record.shard_id, |chooses| chooses.shard_id) % MAX_SHARDS
        };
        let records: Vec<(&UsageRecord, u8)> = records.iter().map(|record| (*record, shard(record))).collect();
        let mut additions: BTreeMap<CounterKey, Addition> = BTreeMap::new();
        for (record, shard) in &records {
            let adds = Addition { tally: Tally::of(&record.counters()), last: record.recorded_at };
            additions
                .entry(CounterKey::of(record, *shard))
                .and_modify(|sum| {
                    sum.tally = sum.tally.plus(adds.tally);
                    sum.last = sum.last.max(adds.last);
                })
                .or_insert(adds);
        }
        Self { records, additions }
    }

    /// What the reasons of a canceled transaction say, whose first steps are the records'.
    ///
    /// # Errors
    /// [`StorageError::Backend`] where repeating it, also without some submissions, cannot help.
    pub(super) fn canceled(&self, refusals: &Refusals) -> Result<Canceled> {
        refusals.passing()?;
        let taken: Vec<(usize, Option<Item>)> = (0..self.records.len())
            .filter(|step| refusals.refused(*step))
            .map(|step| (step, refusals.item(step).cloned()))
            .collect();
        // Only records have a condition.
        if (self.records.len()..refusals.0.len()).any(|step| refusals.refused(step)) {
            return Err(StorageError::Backend(format!("{REFUSED} where there is no condition")));
        }
        let codes = || refusals.0.iter().filter_map(|reason| reason.code());
        let contended = codes().any(is_passing);
        if taken.is_empty() && !contended {
            let unknown = codes().find(|code| *code != NOTHING).unwrap_or("a cancellation without a reason");
            return Err(StorageError::Backend(unknown.to_owned()));
        }
        Ok(Canceled { taken, contended })
    }
}

/// What to do about a canceled transaction.
#[derive(Debug)]
pub(super) struct Canceled {
    /// Submissions, by their place, whose key is taken, with what is there where the reason says it.
    pub(super) taken: Vec<(usize, Option<Item>)>,
    /// Whether somebody else was at the same items, or the table is overloaded: the rest has to wait.
    pub(super) contended: bool,
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
