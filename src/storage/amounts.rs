//! Amounts as every store holds them: signed 64-bit numbers.
//!
//! A value that does not fit is `None` here and refused by the caller: it never wraps. Stores agree on what they refuse,
//! also where one of them could hold more.

#[cfg(any(test, feature = "sql"))]
use crate::domain::money::{CostDrift, PicoUsd};
use crate::domain::usage::{Counters, UsageRecord};

/// [`Counters`] as columns, in the order of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CounterColumns(pub(crate) [i64; 11]);

impl CounterColumns {
    /// `None` where a counter leaves the range of its column.
    pub(crate) fn of(counters: &Counters) -> Option<Self> {
        let (cost_micros, cost_residue) = counters.cost.to_columns()?;
        let (drift_micros, drift_residue) = counters.drift.to_columns()?;
        let column = |value: u64| i64::try_from(value).ok();
        Some(Self([
            cost_micros,
            cost_residue,
            drift_micros,
            drift_residue,
            column(counters.requests)?,
            column(counters.errors)?,
            column(counters.unpriced_requests)?,
            column(counters.input_tokens)?,
            column(counters.output_tokens)?,
            column(counters.cache_read_input_tokens)?,
            column(counters.cache_write_input_tokens)?,
        ]))
    }

    /// `None` for negative counters, which no writer of ours produces.
    #[cfg(any(test, feature = "sql"))]
    pub(crate) fn counters(self) -> Option<Counters> {
        let [
            cost_micros,
            cost_residue,
            drift_micros,
            drift_residue,
            requests,
            errors,
            unpriced_requests,
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_write_input_tokens,
        ] = self.0;
        let count = |value: i64| u64::try_from(value).ok();
        Some(Counters {
            cost: PicoUsd::from_columns(cost_micros, cost_residue)?,
            drift: CostDrift::from_columns(drift_micros, drift_residue),
            requests: count(requests)?,
            errors: count(errors)?,
            unpriced_requests: count(unpriced_requests)?,
            input_tokens: count(input_tokens)?,
            output_tokens: count(output_tokens)?,
            cache_read_input_tokens: count(cache_read_input_tokens)?,
            cache_write_input_tokens: count(cache_write_input_tokens)?,
        })
    }
}

/// The numbers of a [`UsageRecord`] as columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordAmounts {
    pub(crate) cost: (i64, i64),
    pub(crate) server_cost: Option<(i64, i64)>,
    /// Input, output, cache read, cache write, cache write for one hour.
    pub(crate) tokens: [i64; 5],
}

impl RecordAmounts {
    /// `None` where a number does not fit its column; then no counter could hold it either.
    pub(crate) fn of(record: &UsageRecord) -> Option<Self> {
        let column = |value: u64| i64::try_from(value).ok();
        let server_cost = match record.server_cost {
            None => None,
            Some(cost) => Some(cost.to_columns()?),
        };
        Some(Self {
            cost: record.cost.to_columns()?,
            server_cost,
            tokens: [
                column(record.tokens.input)?,
                column(record.tokens.output)?,
                column(record.tokens.cache_read)?,
                column(record.tokens.cache_write)?,
                column(record.tokens.cache_write_1h)?,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counters_survive_their_columns_and_what_does_not_fit_is_refused() {
        let counters = Counters {
            cost: PicoUsd::new(3_500_000_000_001),
            drift: CostDrift::new(-2_500_001),
            requests: 7,
            errors: 1,
            unpriced_requests: 2,
            input_tokens: i64::MAX.unsigned_abs(),
            output_tokens: 4,
            cache_read_input_tokens: 5,
            cache_write_input_tokens: 6,
        };
        assert_eq!(CounterColumns::of(&counters).unwrap().counters(), Some(counters));
        let too_many = Counters { input_tokens: i64::MAX.unsigned_abs() + 1, ..counters };
        assert_eq!(CounterColumns::of(&too_many), None);
        let mut negative = CounterColumns::of(&counters).unwrap();
        negative.0[4] = -1;
        assert_eq!(negative.counters(), None);
    }
}
