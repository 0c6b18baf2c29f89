//! Which corrections of a call apply, and what the totals become: the rules of repricing as a pure function over what
//! a store has read while it holds the lock.
//!
//! The outcome is the same as if the corrections had been made one after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::columns::{CounterColumns, RecordAmounts};
use super::posting::{ChangedTotals, RecordKeys, Total, TotalKey};
use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::contract::{Reprice, RepriceOutcome};

/// Every total a call has to read before [`Correction::plan`].
pub(crate) fn totals_to_read(stored: &HashMap<UsageKey, UsageRecord>) -> BTreeSet<TotalKey> {
    stored.values().flat_map(|record| RecordKeys::of(record).each().map(TotalKey::clone)).collect()
}

/// What a call writes, and what it answers once that is committed.
#[derive(Debug)]
pub(crate) struct Correction {
    /// Records to update, as they become, each once.
    pub(crate) corrected: Vec<(UsageRecord, RecordAmounts)>,
    /// Totals that changed, with their new values.
    pub(crate) changed: ChangedTotals,
    /// One outcome per correction, in order.
    pub(crate) outcomes: Vec<RepriceOutcome>,
}

impl Correction {
    /// Decides one by one. `stored` has every record there is of those named, `totals` the value of every key of
    /// [`totals_to_read`] that exists.
    pub(crate) fn plan(
        reprices: &[Reprice],
        mut stored: HashMap<UsageKey, UsageRecord>,
        mut totals: BTreeMap<TotalKey, Total>,
        repriced_at: Timestamp,
    ) -> Self {
        let mut corrected = BTreeMap::new();
        let mut changed = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(reprices.len());
        for reprice in reprices {
            let Some(record) = stored.get_mut(&reprice.key) else {
                outcomes.push(RepriceOutcome::Gone);
                continue;
            };
            let step = Step::of(reprice, record, &totals, repriced_at);
            outcomes.push(match step {
                Err(outcome) => outcome,
                Ok(step) => {
                    for (key, total, columns) in step.totals {
                        changed.insert(key.clone(), (columns, total.updated_at));
                        totals.insert(key, total);
                    }
                    corrected.insert(reprice.key.clone(), (step.record.clone(), step.amounts));
                    *record = step.record;
                    RepriceOutcome::Applied
                }
            });
        }
        Self { corrected: corrected.into_values().collect(), changed, outcomes }
    }
}

/// What one correction changes.
struct Step {
    record: UsageRecord,
    amounts: RecordAmounts,
    totals: Vec<(TotalKey, Total, CounterColumns)>,
}

impl Step {
    /// What a correction of `stored` changes, or why it does not apply.
    fn of(
        reprice: &Reprice,
        stored: &UsageRecord,
        totals: &BTreeMap<TotalKey, Total>,
        repriced_at: Timestamp,
    ) -> Result<Self, RepriceOutcome> {
        if !stored.is_repriceable() || stored.figures() != reprice.expected {
            return Err(RepriceOutcome::Stale);
        }
        let record = stored.with_figures(&reprice.new);
        let amounts = RecordAmounts::of(&record).ok_or(RepriceOutcome::Overflow)?;
        let (before, after) = (stored.counters(), record.counters());
        let keys = RecordKeys::of(stored);
        let mut corrected = Vec::with_capacity(4);
        for key in keys.each() {
            let total = totals.get(key).ok_or(RepriceOutcome::Gone)?;
            let counters = total
                .counters
                .checked_sub(&before)
                .and_then(|others| others.checked_add(&after))
                .ok_or(RepriceOutcome::Overflow)?;
            let columns = CounterColumns::of(&counters).ok_or(RepriceOutcome::Overflow)?;
            let updated_at = total.updated_at.max(repriced_at);
            corrected.push((key.clone(), Total { counters, updated_at }, columns));
        }
        Ok(Self { record, amounts, totals: corrected })
    }
}
