//! Which corrections apply, and what their transactions change: pure; [`repricing`](super::repricing) carries them out.

use std::collections::BTreeMap;

use super::counters::Tally;
use super::ledger_keys::CounterKey;
use super::usage_items::StoredRecord;
use crate::domain::calendar::Day;
use crate::domain::ids::OrgId;
use crate::domain::usage::UsageRecord;
use crate::storage::amounts::RecordAmounts;
use crate::storage::contract::{Reprice, RepriceOutcome};

/// Corrections of one transaction at most. Each has up to four steps: record, pointer, counter and mark.
const MOST: usize = 24;

/// A correction that applies to the record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// Its place in the call.
    pub(super) place: usize,
    pub(super) reprice: &'a Reprice,
    pub(super) stored: StoredRecord,
    /// The record as it becomes.
    pub(super) corrected: UsageRecord,
}

impl<'a> Step<'a> {
    /// What a correction comes to, where `stored` is what there is.
    ///
    /// # Errors
    /// The outcome of a correction that does not apply.
    pub(super) fn of(place: usize, reprice: &'a Reprice, stored: Option<StoredRecord>) -> Result<Self, RepriceOutcome> {
        let stored = stored.ok_or(RepriceOutcome::Gone)?;
        let record = &stored.record;
        if !record.is_repriceable() || record.figures() != reprice.expected {
            return Err(RepriceOutcome::Stale);
        }
        let corrected = record.with_figures(&reprice.new);
        RecordAmounts::of(&corrected).ok_or(RepriceOutcome::Overflow)?;
        Ok(Self { place, reprice, stored, corrected })
    }

    /// The counter the record was added to.
    pub(super) fn counter(&self) -> CounterKey {
        CounterKey::of(&self.stored.record, self.stored.shard)
    }

    /// What the correction adds to it.
    pub(super) fn difference(&self) -> Tally {
        Tally::of(&self.corrected.counters()).minus(Tally::of(&self.stored.record.counters()))
    }

    /// A word that no other change of any record has: the revision of a record only grows.
    pub(super) fn unique(&self) -> String {
        let record = &self.stored.record;
        format!("{}#{}#{}", record.app_id, record.request_id, self.stored.revision)
    }
}

/// Which corrections can be made at the same time: the first of each record, then the second of each, and so on. Those
/// of one record see each other in order.
pub(super) fn rounds(reprices: &[Reprice]) -> Vec<Vec<(usize, &Reprice)>> {
    let mut rounds: Vec<Vec<(usize, &Reprice)>> = Vec::new();
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for (place, reprice) in reprices.iter().enumerate() {
        let round = seen.entry(&reprice.key).or_default();
        match rounds.get_mut(*round) {
            Some(round) => round.push((place, reprice)),
            None => rounds.push(vec![(place, reprice)]),
        }
        *round += 1;
    }
    rounds
}

/// Splits corrections of distinct records into groups that fit a transaction each. Those of one counter go together.
pub(super) fn groups(mut steps: Vec<Step<'_>>) -> Vec<Vec<Step<'_>>> {
    steps.sort_by_cached_key(Step::counter);
    let mut groups: Vec<Vec<Step<'_>>> = Vec::new();
    for step in steps {
        match groups.last_mut().filter(|group| group.len() < MOST) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    groups
}

/// What a group adds to each counter.
pub(super) fn differences(group: &[Step<'_>]) -> BTreeMap<CounterKey, Tally> {
    let mut sums: BTreeMap<CounterKey, Tally> = BTreeMap::new();
    for step in group {
        let sum = sums.entry(step.counter()).or_default();
        *sum = sum.plus(step.difference());
    }
    sums
}

/// The days a group changes, each with a word that no other change has.
pub(super) fn days(group: &[Step<'_>]) -> BTreeMap<(OrgId, Day), String> {
    group.iter().map(|step| ((step.stored.record.org_id, step.stored.record.day), step.unique())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{unpriced, usage};
    use super::*;
    use crate::domain::money::{CostDrift, PicoUsd};
    use crate::domain::pricing::PricingStatus;
    use crate::domain::usage::{CostSource, Figures};

    fn stored(record: UsageRecord) -> StoredRecord {
        StoredRecord { record, shard: 9, revision: 2, expires: 0 }
    }

    fn priced(pico: u128) -> Figures {
        let mut figures = usage(1).figures();
        figures.cost = PicoUsd::new(pico);
        figures.server_cost = Some(PicoUsd::new(pico));
        figures
    }

    fn reprice(record: &UsageRecord, new: Figures) -> Reprice {
        Reprice { key: record.key(), expected: record.figures(), new }
    }

    #[test]
    fn a_correction_applies_to_the_figures_it_was_computed_from_and_to_nothing_priced() {
        let record = unpriced(1);
        let reprice = reprice(&record, priced(5));
        assert!(Step::of(0, &reprice, Some(stored(record.clone()))).is_ok());
        assert_eq!(Step::of(0, &reprice, None), Err(RepriceOutcome::Gone));
        let mut other = record.clone();
        other.pricing.version = None;
        assert_eq!(Step::of(0, &reprice, Some(stored(other))), Err(RepriceOutcome::Stale));
        let corrected = record.with_figures(&priced(5));
        assert_eq!(Step::of(0, &reprice, Some(stored(corrected.clone()))), Err(RepriceOutcome::Stale));
        let priced_already = super::tests::reprice(&corrected, priced(6));
        assert_eq!(Step::of(0, &priced_already, Some(stored(corrected))), Err(RepriceOutcome::Stale));
        let too_much = super::tests::reprice(&record, priced(u128::MAX));
        assert_eq!(Step::of(0, &too_much, Some(stored(record))), Err(RepriceOutcome::Overflow));
    }

    #[test]
    fn counters_change_by_the_exact_difference() {
        let record = unpriced(1);
        let reprice = reprice(&record, priced(5));
        let step = Step::of(0, &reprice, Some(stored(record.clone()))).unwrap();
        let before = Tally::of(&record.counters());
        assert_eq!(before.plus(step.difference()).counters(), step.corrected.counters());
        assert_eq!(step.counter().shard, 9);
        // What a client charged stays, and its drift follows, also below zero.
        let mut of_client = unpriced(2);
        of_client.cost_source = CostSource::Client;
        of_client.cost = PicoUsd::new(100);
        let reprice = super::tests::reprice(&of_client, priced(130));
        let step = Step::of(0, &reprice, Some(stored(of_client))).unwrap();
        let difference = step.difference().counters();
        assert_eq!((difference.cost, difference.drift), (PicoUsd::ZERO, CostDrift::new(-30)));
    }

    #[test]
    fn corrections_of_one_record_are_made_in_rounds_in_order() {
        let (one, two) = (unpriced(1), unpriced(2));
        let reprices =
            [reprice(&one, priced(1)), reprice(&one, priced(2)), reprice(&two, priced(3)), reprice(&one, priced(4))];
        let rounds = rounds(&reprices);
        let places: Vec<Vec<usize>> =
            rounds.iter().map(|round| round.iter().map(|(place, _)| *place).collect()).collect();
        assert_eq!(places, [vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn groups_fit_a_transaction_whatever_they_touch() {
        let records: Vec<_> = (0..100)
            .map(|n| {
                let mut record = unpriced(n);
                record.pricing.status = PricingStatus::Estimated;
                record.org_id = crate::domain::ids::OrgId(uuid::Uuid::from_u128(u128::from(n % 50)));
                record
            })
            .collect();
        let reprices: Vec<_> = records.iter().map(|record| reprice(record, priced(9))).collect();
        let step = |(place, (record, reprice)): (usize, (&UsageRecord, _))| {
            let stored = StoredRecord { shard: record.shard_id, ..stored(record.clone()) };
            Step::of(place, reprice, Some(stored)).unwrap()
        };
        let steps: Vec<_> = records.iter().zip(&reprices).enumerate().map(step).collect();
        let groups = groups(steps);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 100);
        for group in &groups {
            let steps = 2 * group.len() + differences(group).len() + days(group).len();
            assert!(steps <= super::super::writes::MAX_STEPS, "{steps}");
        }
    }
}
