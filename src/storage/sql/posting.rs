//! Which submissions of a batch count, and what the totals become: the rules of recording usage
//! as a pure function over what a store has read while it holds the lock.
//!
//! The outcome is the same as if the submissions had arrived one after the other: a refused one leaves no trace and
//! those after it still count.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::columns::{CounterColumns, RecordAmounts};
use crate::domain::calendar::{Day, Month};
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::usage::{Counters, LabelTotals, SpendTotals, UsageKey, UsageRecord};
use crate::storage::contract::RecordOutcome;

/// What a total covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Period {
    Day(Day),
    Month(Month),
}

/// Key of one total. Its order is the order in which totals are read and written, the same in every call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TotalKey {
    pub(crate) period: Period,
    pub(crate) org_id: OrgId,
    /// `None` for the organization's total.
    pub(crate) app_id: Option<AppId>,
    pub(crate) model_label: ModelLabel,
}

/// One total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) counters: Counters,
    pub(crate) updated_at: Timestamp,
}

/// Totals to write, with their new values and when they changed.
pub(crate) type ChangedTotals = BTreeMap<TotalKey, (CounterColumns, Timestamp)>;

/// The four totals that usage of one application, label and day adds to.
#[derive(Debug, Clone)]
pub(crate) struct RecordKeys {
    app_day: TotalKey,
    app_month: TotalKey,
    org_day: TotalKey,
    org_month: TotalKey,
}

impl RecordKeys {
    pub(crate) fn of(record: &UsageRecord) -> Self {
        Self::of_parts(record.org_id, &record.app_id, &record.model_label, record.day)
    }

    pub(crate) fn of_parts(org_id: OrgId, app_id: &AppId, model_label: &ModelLabel, day: Day) -> Self {
        let key = |period, app_id| TotalKey { period, org_id, app_id, model_label: model_label.clone() };
        let (day, month) = (Period::Day(day), Period::Month(day.month()));
        Self {
            app_day: key(day, Some(app_id.clone())),
            app_month: key(month, Some(app_id.clone())),
            org_day: key(day, None),
            org_month: key(month, None),
        }
    }

    pub(crate) fn app_day(&self) -> &TotalKey {
        &self.app_day
    }

    pub(crate) fn each(&self) -> [&TotalKey; 4] {
        [&self.app_day, &self.app_month, &self.org_day, &self.org_month]
    }
}

/// Every total a call has to read before [`Posting::plan`]: those its records add to, and those of the records they
/// repeat.
pub(crate) fn totals_to_read(records: &[UsageRecord], stored: &HashMap<UsageKey, UsageRecord>) -> BTreeSet<TotalKey> {
    let mut keys = BTreeSet::new();
    for record in records {
        let counted = stored.get(&record.key()).unwrap_or(record);
        keys.extend(RecordKeys::of(counted).each().into_iter().cloned());
    }
    keys
}

/// What a call writes, and what it answers once that is committed.
#[derive(Debug)]
pub(crate) struct Posting<'a> {
    /// Records to insert, in order.
    pub(crate) accepted: Vec<&'a UsageRecord>,
    /// Totals that changed, with their new values.
    pub(crate) changed: ChangedTotals,
    /// One outcome per record, in order. Totals are those after the whole call.
    pub(crate) outcomes: Vec<RecordOutcome>,
}

enum Decision {
    Accepted(Box<RecordKeys>),
    Duplicate(Box<UsageRecord>),
    Conflict,
    Overflow,
}

impl<'a> Posting<'a> {
    /// Decides record by record. `stored` has the record of every dedup key that exists, `totals` the value of every
    /// key of [`totals_to_read`] that exists.
    pub(crate) fn plan(
        records: &'a [UsageRecord],
        stored: &HashMap<UsageKey, UsageRecord>,
        mut totals: BTreeMap<TotalKey, Total>,
    ) -> Self {
        let mut accepted: Vec<&UsageRecord> = Vec::new();
        let mut accepted_now: HashMap<UsageKey, &UsageRecord> = HashMap::new();
        let mut changed = BTreeMap::new();
        let mut decisions = Vec::with_capacity(records.len());
        for record in records {
            let dedup_key = record.key();
            let first = stored.get(&dedup_key).or_else(|| accepted_now.get(&dedup_key).copied());
            decisions.push(match first {
                Some(first) if first.fingerprint == record.fingerprint => Decision::Duplicate(Box::new(first.clone())),
                Some(_) => Decision::Conflict,
                None => match add(record, &mut totals, &mut changed) {
                    Some(keys) => {
                        accepted.push(record);
                        accepted_now.insert(dedup_key, record);
                        Decision::Accepted(Box::new(keys))
                    }
                    None => Decision::Overflow,
                },
            });
        }
        let outcomes = decisions.into_iter().map(|decision| outcome(decision, &totals)).collect();
        Self { accepted, changed, outcomes }
    }
}

/// Adds a record to its four totals; `None`, with nothing added, where a counter of one would leave its range.
fn add(
    record: &UsageRecord,
    totals: &mut BTreeMap<TotalKey, Total>,
    changed: &mut ChangedTotals,
) -> Option<RecordKeys> {
    RecordAmounts::of(record)?;
    let keys = RecordKeys::of(record);
    let delta = record.counters();
    let mut sums = Vec::with_capacity(4);
    for key in keys.each() {
        let before = totals.get(key);
        let counters = before.map_or(Some(delta), |total| total.counters.checked_add(&delta))?;
        // The counter's domain type may be wider than its column: the column decides.
        let columns = CounterColumns::of(&counters)?;
        let updated_at = before.map_or(record.recorded_at, |total| total.updated_at.max(record.recorded_at));
        sums.push((key, Total { counters, updated_at }, columns));
    }
    for (key, total, columns) in sums {
        totals.insert(key.clone(), total);
        changed.insert(key.clone(), (columns, total.updated_at));
    }
    Some(keys)
}

fn outcome(decision: Decision, totals: &BTreeMap<TotalKey, Total>) -> RecordOutcome {
    match decision {
        Decision::Accepted(keys) => RecordOutcome::Accepted(label_totals(&keys, totals)),
        Decision::Duplicate(first) => {
            let keys = RecordKeys::of(&first);
            RecordOutcome::Duplicate(first, label_totals(&keys, totals))
        }
        Decision::Conflict => RecordOutcome::Conflict,
        Decision::Overflow => RecordOutcome::Overflow,
    }
}

fn label_totals(keys: &RecordKeys, totals: &BTreeMap<TotalKey, Total>) -> LabelTotals {
    let counters = |key: &TotalKey| totals.get(key).map(|total| total.counters).unwrap_or_default();
    LabelTotals {
        app: SpendTotals { day: counters(&keys.app_day), month: counters(&keys.app_month) },
        org: SpendTotals { day: counters(&keys.org_day), month: counters(&keys.org_month) },
    }
}
