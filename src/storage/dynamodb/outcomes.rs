//! Which submissions of a call stand for their key, and what becomes of each: pure.
//!
//! The outcome is the same as if the submissions had arrived one after the other.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::usage::{LabelTotals, UsageKey, UsageRecord};
use crate::storage::amounts::RecordAmounts;
use crate::storage::contract::RecordOutcome;

/// The submission that counts for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) record: UsageRecord,
    /// Whether this call committed it.
    pub(super) is_new: bool,
}

/// The first submission of each key whose amounts fit; the others wait for what becomes of it.
pub(super) fn candidates(records: &[UsageRecord]) -> Vec<&UsageRecord> {
    let mut seen = HashSet::new();
    records.iter().filter(|record| RecordAmounts::of(record).is_some() && seen.insert(record.key())).collect()
}

/// Keys of which no submission fits. They may have been recorded before, when the price was another one.
pub(super) fn without_candidate(records: &[UsageRecord]) -> Vec<UsageKey> {
    let candidates: HashSet<UsageKey> = candidates(records).into_iter().map(UsageRecord::key).collect();
    let keys: HashSet<UsageKey> = records.iter().map(UsageRecord::key).collect();
    keys.into_iter().filter(|key| !candidates.contains(key)).collect()
}

/// What became of a submission, its totals apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    Duplicate,
    Conflict,
    Overflow,
}

/// One fate per submission, in order. `known` has what counts for every key there is something for.
pub(super) fn fates(records: &[UsageRecord], known: &HashMap<UsageKey, Known>) -> Vec<Fate> {
    // Whose record this call committed, until that one was met.
    let mut open: HashSet<UsageKey> =
        known.iter().filter(|(_, known)| known.is_new).map(|(key, _)| key.clone()).collect();
    let fate = |record: &UsageRecord| {
        let key = record.key();
        match known.get(&key) {
            Some(_) if open.contains(&key) && RecordAmounts::of(record).is_none() => Fate::Overflow,
            Some(_) if open.remove(&key) => Fate::Accepted,
            Some(known) if known.record.fingerprint == record.fingerprint => Fate::Duplicate,
            Some(_) => Fate::Conflict,
            None => Fate::Overflow,
        }
    };
    records.iter().map(fate).collect()
}

/// Outcomes with their totals: those of the key of the record that counts.
pub(super) fn outcomes(
    records: &[UsageRecord],
    known: &HashMap<UsageKey, Known>,
    totals: impl Fn(&UsageRecord) -> LabelTotals,
) -> Vec<RecordOutcome> {
    // Records of one call have few keys among them.
    let mut read: BTreeMap<_, LabelTotals> = BTreeMap::new();
    let mut totals = |record: &UsageRecord| {
        let key = (record.org_id, record.app_id.clone(), record.model_label.clone(), record.day);
        *read.entry(key).or_insert_with(|| totals(record))
    };
    let fates = fates(records, known);
    let outcome = |(record, fate): (&UsageRecord, Fate)| match (fate, known.get(&record.key())) {
        (Fate::Accepted, _) => RecordOutcome::Accepted(totals(record)),
        (Fate::Duplicate, Some(first)) => {
            RecordOutcome::Duplicate(Box::new(first.record.clone()), totals(&first.record))
        }
        // Nobody is a duplicate of nothing.
        (Fate::Duplicate | Fate::Conflict, _) => RecordOutcome::Conflict,
        (Fate::Overflow, _) => RecordOutcome::Overflow,
    };
    records.iter().zip(fates).map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::usage;
    use super::Fate::{Accepted, Conflict, Duplicate, Overflow};
    use super::*;
    use crate::domain::money::PicoUsd;

    fn forged(record: &UsageRecord) -> UsageRecord {
        UsageRecord { fingerprint: [0xff; 32], ..record.clone() }
    }

    fn too_large(record: &UsageRecord) -> UsageRecord {
        UsageRecord { cost: PicoUsd::new(u128::MAX), ..record.clone() }
    }

    /// What becomes of submissions where nothing, or this, is stored.
    fn fates_of(records: &[UsageRecord], stored: Option<UsageRecord>) -> Vec<Fate> {
        let mut known = HashMap::new();
        for candidate in candidates(records) {
            known.insert(candidate.key(), Known { record: candidate.clone(), is_new: true });
        }
        if let Some(record) = stored {
            known.insert(record.key(), Known { record, is_new: false });
        }
        fates(records, &known)
    }

    #[test]
    fn the_first_submission_of_a_key_counts_and_the_others_are_compared_with_it() {
        let (one, two) = (usage(1), usage(2));
        let records = [one.clone(), two, forged(&one), one];
        assert_eq!(fates_of(&records, None), [Accepted, Accepted, Conflict, Duplicate]);
    }

    #[test]
    fn every_submission_is_compared_with_what_is_stored_already() {
        let one = usage(1);
        assert_eq!(fates_of(&[one.clone(), one.clone()], Some(one.clone())), [Duplicate, Duplicate]);
        assert_eq!(fates_of(&[forged(&one), one.clone()], Some(one.clone())), [Conflict, Duplicate]);
        // A repeat may be priced anew, and so too high to be stored; it was recorded all the same.
        assert_eq!(fates_of(&[too_large(&one)], Some(one.clone())), [Duplicate]);
        assert_eq!(fates_of(&[too_large(&forged(&one)), one.clone()], Some(one)), [Conflict, Duplicate]);
    }

    #[test]
    fn what_does_not_fit_leaves_its_key_to_the_next() {
        let one = usage(1);
        let records = [too_large(&one), forged(&one), too_large(&one), forged(&one)];
        assert_eq!(fates_of(&records, None), [Overflow, Accepted, Conflict, Duplicate]);
        assert_eq!(fates_of(&[too_large(&one), too_large(&one)], None), [Overflow, Overflow]);
        assert_eq!(without_candidate(&[too_large(&one), usage(2), too_large(&usage(2))]), [one.key()]);
    }

    #[test]
    fn totals_are_those_of_the_record_that_counts() {
        let first = usage(1);
        let mut repeat = first.clone();
        repeat.model_label = "economy".parse().unwrap();
        let known = HashMap::from([(first.key(), Known { record: first.clone(), is_new: false })]);
        let outcomes = outcomes(&[repeat], &known, |record| {
            let mut totals = LabelTotals::default();
            totals.app.day.requests = record.model_label.as_str().len() as u64;
            totals
        });
        let [RecordOutcome::Duplicate(of, totals)] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!((&**of, totals.app.day.requests), (&first, "premium".len() as u64));
    }
}
