//! What counts as gone although it is still there.
//!
//! DynamoDB deletes expired items by itself, usually within a few days. Until then they are hidden: readers compare
//! with the retention that [`purge`](crate::storage::Maintenance::purge) last named.

use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use crate::domain::calendar::Day;
use crate::storage::contract::Retention;

/// The retention in force on this instance, and the latest instant it heard of.
#[derive(Debug, Default)]
pub(super) struct Watermark(RwLock<Marks>);

#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    retention: Option<Retention>,
    latest: Option<Timestamp>,
}

impl Watermark {
    /// Takes note of a retention. What was hidden stays hidden: each mark only rises.
    pub(super) fn raise(&self, to: &Retention) {
        let mut marks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        marks.retention = Some(match marks.retention {
            None => *to,
            Some(before) => Retention {
                now: before.now.max(to.now),
                usage_before: before.usage_before.max(to.usage_before),
                totals_before: before.totals_before.max(to.totals_before),
                audit_before: before.audit_before.max(to.audit_before),
            },
        });
        marks.latest = marks.latest.max(Some(to.now));
    }

    /// Takes note of an instant that has come: an argument of some call.
    pub(super) fn saw(&self, instant: Timestamp) {
        // Usually it is a later one by far less than matters, so most calls only read.
        if self.latest().is_none_or(|latest| latest < instant) {
            let mut marks = self.0.write().unwrap_or_else(PoisonError::into_inner);
            marks.latest = marks.latest.max(Some(instant));
        }
    }

    /// The latest instant this instance heard of; `None` where it heard of none.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).latest
    }

    /// Now, as the last purge had it: revocations, secrets and fallback states that expired before are gone.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.retention().map(|retention| retention.now)
    }

    /// Records and dedup keys recorded before this instant are gone.
    pub(super) fn usage_before(&self) -> Option<Timestamp> {
        self.retention().map(|retention| retention.usage_before)
    }

    /// Totals of earlier days are gone, and those of months that ended before this day.
    pub(super) fn totals_before(&self) -> Option<Day> {
        self.retention().map(|retention| retention.totals_before)
    }

    /// Events of the audit trail before this instant are gone.
    pub(super) fn audit_before(&self) -> Option<Timestamp> {
        self.retention().map(|retention| retention.audit_before)
    }

    fn retention(&self) -> Option<Retention> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).retention
    }

    /// Whether something that expired at `expires_at` counts as gone.
    pub(super) fn hides(&self, expires_at: Timestamp) -> bool {
        self.now().is_some_and(|now| expires_at < now)
    }

    /// Whether a record recorded at `recorded_at` counts as gone.
    pub(super) fn hides_usage(&self, recorded_at: Timestamp) -> bool {
        self.usage_before().is_some_and(|before| recorded_at < before)
    }

    /// Whether an event of the audit trail at `at` counts as gone.
    pub(super) fn hides_audit(&self, at: Timestamp) -> bool {
        self.audit_before().is_some_and(|before| at < before)
    }

    /// Whether the daily totals of a day count as gone.
    pub(super) fn hides_day(&self, day: Day) -> bool {
        self.totals_before().is_some_and(|before| day < before)
    }

    /// Whether the month totals of a day's month count as gone: the month ended before.
    pub(super) fn hides_month_of(&self, day: Day) -> bool {
        self.totals_before().is_some_and(|before| day.month() < before.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(second: i64, day: &str) -> Retention {
        let at = Timestamp::from_second(second).unwrap();
        Retention { now: at, usage_before: at, totals_before: day.parse().unwrap(), audit_before: at }
    }

    #[test]
    fn nothing_is_hidden_at_first_and_what_was_hidden_stays_hidden() {
        let watermark = Watermark::default();
        let (early, late) = (Timestamp::from_second(5).unwrap(), Timestamp::from_second(10).unwrap());
        assert!(!watermark.hides(early) && !watermark.hides_usage(early) && !watermark.hides_audit(early));
        watermark.raise(&retention(10, "2026-02-02"));
        watermark.raise(&retention(0, "2025-01-01"));
        assert!(watermark.hides(early) && !watermark.hides(late));
        assert!(watermark.hides_usage(early) && !watermark.hides_usage(late));
        assert!(watermark.hides_audit(early) && !watermark.hides_audit(late));
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert!(watermark.hides_day(day("2026-02-01")) && !watermark.hides_day(day("2026-02-02")));
        assert!(watermark.hides_month_of(day("2026-01-31")) && !watermark.hides_month_of(day("2026-02-01")));
    }

    #[test]
    fn the_latest_instant_only_rises() {
        let watermark = Watermark::default();
        assert_eq!(watermark.latest(), None);
        for second in [5, 3] {
            watermark.saw(Timestamp::from_second(second).unwrap());
        }
        assert_eq!(watermark.latest(), Some(Timestamp::from_second(5).unwrap()));
        watermark.raise(&retention(7, "2026-01-01"));
        assert_eq!(watermark.latest(), Some(Timestamp::from_second(7).unwrap()));
    }
}
