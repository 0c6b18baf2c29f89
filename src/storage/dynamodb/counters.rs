//! Counters as DynamoDB adds them up, and their sums.
//!
//! DynamoDB numbers have 38 digits, far more than what can be spent, so a counter never overflows there. In memory a
//! counter is 128 bits wide and saturates; what is too large for [`Counters`] is read as their maximum.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::attributes::{Item, corrupt, n, optional_number};
use crate::domain::money::{CostDrift, PicoUsd};
use crate::domain::usage::Counters;
use crate::storage::contract::Result;

/// Attributes of a counter, in the order of [`Tally`] and of the columns of a month's totals.
const NAMES: [&str; 9] = ["co", "dr", "rq", "er", "up", "ti", "to", "tr", "tw"];
/// How often a counter changed: grows by one with every transaction on it.
const VERSION: &str = "v";
/// When usage was last added.
const LAST: &str = "last";
/// When it was last corrected. Apart, so that neither has to know the other to keep the later one.
const CORRECTED: &str = "fixed";

/// Counters that add up, or the difference of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally([i128; NAMES.len()]);

impl Tally {
    /// What these counters add.
    pub(super) fn of(counters: &Counters) -> Self {
        let cost = i128::try_from(counters.cost.get()).unwrap_or(i128::MAX);
        Self([
            cost,
            counters.drift.get(),
            counters.requests.into(),
            counters.errors.into(),
            counters.unpriced_requests.into(),
            counters.input_tokens.into(),
            counters.output_tokens.into(),
            counters.cache_read_input_tokens.into(),
            counters.cache_write_input_tokens.into(),
        ])
    }

    fn combine(self, other: Self, combine: impl Fn(i128, i128) -> i128) -> Self {
        let mut sums = self.0;
        for (sum, other) in sums.iter_mut().zip(other.0) {
            *sum = combine(*sum, other);
        }
        Self(sums)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.combine(other, i128::saturating_add)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.combine(other, i128::saturating_sub)
    }

    /// As counters. What they cannot say is their nearest value.
    pub(super) fn counters(self) -> Counters {
        let [cost, drift, requests, errors, unpriced, input, output, cache_read, cache_write] = self.0;
        let count = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX);
        Counters {
            cost: PicoUsd::new(cost.max(0).unsigned_abs()),
            drift: CostDrift::new(drift),
            requests: count(requests),
            errors: count(errors),
            unpriced_requests: count(unpriced),
            input_tokens: count(input),
            output_tokens: count(output),
            cache_read_input_tokens: count(cache_read),
            cache_write_input_tokens: count(cache_write),
        }
    }

    fn read(item: &Item) -> Result<Self> {
        let mut tally = Self::default();
        for (value, name) in tally.0.iter_mut().zip(NAMES) {
            *value = optional_number(item, name).map_err(|_| corrupt(&format!("counters.{name}")))?.unwrap_or(0);
        }
        Ok(tally)
    }
}

/// A change of one counter: its update expression with the names and values in it.
#[derive(Debug)]
pub(super) struct CounterUpdate {
    pub(super) expression: String,
    pub(super) names: Vec<(String, String)>,
    pub(super) values: Vec<(String, AttributeValue)>,
}

impl CounterUpdate {
    /// Adds usage: the counter is there afterwards, and lives until `expires` seconds since 1970.
    pub(super) fn adding(tally: &Tally, at: Timestamp, expires: i64) -> Self {
        let set = [(LAST, n(at.as_millisecond())), ("expires", n(expires))];
        Self::new(tally, &set)
    }

    /// Corrects what was added.
    pub(super) fn correcting(tally: &Tally, at: Timestamp) -> Self {
        Self::new(tally, &[(CORRECTED, n(at.as_millisecond()))])
    }

    fn new(tally: &Tally, set: &[(&str, AttributeValue)]) -> Self {
        // Names stand for themselves behind a `#`: several of them are reserved words.
        let (mut names, mut values, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        let mut adds = vec![format!("#{VERSION} :{VERSION}")];
        names.push((format!("#{VERSION}"), VERSION.to_owned()));
        values.push((format!(":{VERSION}"), n(1)));
        for (name, value) in set {
            sets.push(format!("#{name} = :{name}"));
            names.push((format!("#{name}"), (*name).to_owned()));
            values.push((format!(":{name}"), value.clone()));
        }
        for (name, value) in NAMES.into_iter().zip(tally.0).filter(|(_, value)| *value != 0) {
            adds.push(format!("#{name} :{name}"));
            names.push((format!("#{name}"), name.to_owned()));
            values.push((format!(":{name}"), n(value)));
        }
        Self { expression: format!("SET {} ADD {}", sets.join(", "), adds.join(", ")), names, values }
    }
}

/// Attributes of a counter that was counted elsewhere, without its key.
pub(super) fn imported_item(counters: &Counters, updated_at: Timestamp, expires: i64) -> Item {
    let mut item = Item::from([
        (VERSION.to_owned(), n(1)),
        (LAST.to_owned(), n(updated_at.as_millisecond())),
        ("expires".to_owned(), n(expires)),
    ]);
    let tally = Tally::of(counters);
    let counted = NAMES.into_iter().zip(tally.0).filter(|(_, value)| *value != 0);
    item.extend(counted.map(|(name, value)| (name.to_owned(), n(value))));
    item
}

/// What counters came to when they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Sum of how often each of them changed. It only grows, so of two snapshots of the same counters, one of which was
    /// begun after the other was finished, the later one has the greater version or is the same.
    pub(super) version: i128,
    pub(super) tally: Tally,
    /// When the last of them changed.
    pub(super) updated_at: Timestamp,
}

impl Snapshot {
    /// One counter.
    pub(super) fn of_counter(item: &Item) -> Result<Self> {
        let millis = |name: &str| optional_number::<i64>(item, name).map_err(|_| corrupt(&format!("counters.{name}")));
        let updated = millis(LAST)?.max(millis(CORRECTED)?).ok_or_else(|| corrupt("counters.last"))?;
        Ok(Self {
            version: optional_number(item, VERSION)
                .ok()
                .flatten()
                .filter(|version| *version > 0)
                .ok_or_else(|| corrupt("counters.v"))?,
            tally: Tally::read(item)?,
            updated_at: Timestamp::from_millisecond(updated).map_err(|_| corrupt("counters.last"))?,
        })
    }

    /// The sum of two.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            version: self.version.saturating_add(other.version),
            tally: self.tally.plus(other.tally),
            updated_at: self.updated_at.max(other.updated_at),
        }
    }

    /// Adds to what a map has of a key.
    pub(super) fn add_to<K: Ord>(self, sums: &mut BTreeMap<K, Self>, key: K) {
        sums.entry(key).and_modify(|sum| *sum = sum.plus(self)).or_insert(self);
    }

    /// As a column of a month's totals.
    pub(super) fn column(&self) -> AttributeValue {
        let mut numbers = Vec::with_capacity(NAMES.len() + 2);
        numbers.push(n(self.version));
        numbers.extend(self.tally.0.iter().map(n));
        numbers.push(n(self.updated_at.as_millisecond()));
        AttributeValue::L(numbers)
    }

    /// The inverse of [`column`](Self::column).
    pub(super) fn of_column(column: &AttributeValue) -> Result<Self> {
        let unreadable = || corrupt("totals.day");
        let numbers = column.as_l().map_err(|_| unreadable())?;
        let numbers: Vec<i128> = numbers
            .iter()
            .map(|number| number.as_n().ok().and_then(|digits| digits.parse().ok()).ok_or_else(unreadable))
            .collect::<Result<_>>()?;
        let (version, rest) = numbers.split_first().ok_or_else(unreadable)?;
        let (updated, sums) = rest.split_last().ok_or_else(unreadable)?;
        let updated = i64::try_from(*updated).map_err(|_| unreadable())?;
        Ok(Self {
            version: *version,
            tally: Tally(sums.try_into().map_err(|_| unreadable())?),
            updated_at: Timestamp::from_millisecond(updated).map_err(|_| unreadable())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        Counters {
            cost: PicoUsd::new(9_223_372_036_854_775_807_999_999),
            drift: CostDrift::new(-5),
            requests: 1,
            errors: 2,
            unpriced_requests: 3,
            input_tokens: u64::MAX,
            output_tokens: 5,
            cache_read_input_tokens: 6,
            cache_write_input_tokens: 7,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn counters_survive_and_what_they_cannot_say_is_their_nearest_value() {
        let tally = Tally::of(&counters());
        assert_eq!(tally.counters(), counters());
        let twice = tally.plus(tally);
        assert_eq!(twice.counters().input_tokens, u64::MAX);
        assert_eq!(twice.counters().cost.get(), counters().cost.get() * 2);
        assert_eq!(twice.minus(tally), tally);
        assert_eq!(Tally::default().minus(tally).counters().requests, 0);
    }

    #[test]
    fn zeros_are_left_out_of_an_update() {
        let one = Tally::of(&Counters { requests: 1, cost: PicoUsd::new(7), ..Counters::default() });
        let update = CounterUpdate::adding(&one, at(5), 9);
        assert_eq!(update.expression, "SET #last = :last, #expires = :expires ADD #v :v, #co :co, #rq :rq");
        assert_eq!((update.names.len(), update.values.len()), (5, 5));
        let update = CounterUpdate::correcting(&Tally::default(), at(5));
        assert_eq!(update.expression, "SET #fixed = :fixed ADD #v :v");
    }

    #[test]
    fn snapshots_add_up_and_survive_as_a_column() {
        let item = imported_item(&counters(), at(5), 9);
        let one = Snapshot::of_counter(&item).unwrap();
        assert_eq!((one.version, one.tally.counters(), one.updated_at), (1, counters(), at(5)));
        let later = Snapshot { updated_at: at(8), version: 4, ..one };
        let sum = one.plus(later);
        assert_eq!((sum.version, sum.updated_at), (5, at(8)));
        assert_eq!(Snapshot::of_column(&sum.column()).unwrap(), sum);
    }

    #[test]
    fn the_later_of_usage_and_correction_is_when_a_counter_changed() {
        let mut item = imported_item(&counters(), at(5), 9);
        for (corrected, changed) in [(3, 5), (7, 7)] {
            item.insert("fixed".to_owned(), n(corrected));
            assert_eq!(Snapshot::of_counter(&item).unwrap().updated_at, at(changed));
        }
    }

    #[test]
    fn what_no_writer_of_ours_left_is_corrupt() {
        for name in ["co", "tw", "v", "last"] {
            let mut item = imported_item(&counters(), at(5), 9);
            item.insert(name.to_owned(), AttributeValue::S("x".to_owned()));
            let error = Snapshot::of_counter(&item).unwrap_err();
            assert_eq!(error.to_string(), corrupt(&format!("counters.{name}")).to_string());
        }
        for column in [AttributeValue::L(Vec::new()), AttributeValue::L(vec![n(1), n(2)]), n(3)] {
            assert!(Snapshot::of_column(&column).is_err());
        }
    }
}
