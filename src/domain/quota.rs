//! Quota status of a label: how much of its daily and monthly quota a scope has spent.

use serde::{Deserialize, Serialize};

use super::money::{MicroUsd, PICO_PER_MICRO, PicoUsd};

/// Whether a label may still be recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QuotaStatus {
    /// Room left.
    Normal,
    /// Room left, but the tight-mode threshold is reached.
    Tight,
    /// Spent, or switched off by a quota of zero.
    Exceeded,
}

/// The period a reported quota belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QuotaPeriod {
    /// The organization's local day.
    Day,
    /// The organization's local month.
    Month,
}

/// A percentage in hundredths, floored: 92.5 % is `9250`. It reads 100 or more exactly when the quota is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaPct(pub u64);

impl QuotaPct {
    /// Share of a quota; a quota of zero is always exceeded and reads 100.
    #[must_use]
    pub fn of(spend: PicoUsd, quota: MicroUsd) -> Self {
        if quota.0 == 0 {
            return Self(10_000);
        }
        let quota_pico = u128::from(quota.0) * PICO_PER_MICRO;
        // Admitted totals stay below 2⁶³ micro-USD, so the product stays below 2¹⁰⁰; beyond, saturate.
        let hundredths = spend.get().checked_mul(10_000).map_or(u128::MAX, |scaled| scaled / quota_pico);
        Self(u64::try_from(hundredths).unwrap_or(u64::MAX))
    }

    /// As a JSON number with at most two decimals.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "a percentage for display, not money")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 100.0
    }
}

/// What a label's quota status is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaInput {
    /// Exact spend of the scope on the day.
    pub day_spend: PicoUsd,
    /// Daily quota.
    pub day_quota: MicroUsd,
    /// Exact spend of the scope in the month of that day.
    pub month_spend: PicoUsd,
    /// Monthly quota, where one is set.
    pub month_quota: Option<MicroUsd>,
    /// Percentage of a quota from which the status is tight, 50–100.
    pub tight_threshold_pct: u8,
}

/// The quota status of one label, reported for the binding period: the one with the higher percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelQuota {
    /// Status over both periods.
    pub status: QuotaStatus,
    /// The binding period; the day on a tie.
    pub period: QuotaPeriod,
    /// Spend in the binding period.
    pub spend: PicoUsd,
    /// Quota of the binding period.
    pub quota: MicroUsd,
    /// Share of the binding quota.
    pub pct: QuotaPct,
    /// Whether the monthly quota by itself is exceeded, so that only a new month frees the label.
    pub month_exceeded: bool,
    /// Whether a quota of zero switches the label off whatever is spent.
    pub switched_off: bool,
}

fn exceeded(spend: PicoUsd, quota: MicroUsd) -> bool {
    spend >= PicoUsd::from(quota)
}

fn tight(spend: PicoUsd, quota: MicroUsd, threshold_pct: u8) -> bool {
    let threshold = PicoUsd::from(quota).get().saturating_mul(u128::from(threshold_pct));
    spend.get().saturating_mul(100) >= threshold
}

/// The quota status of a label. Comparisons use exact spend; only the percentage is floored.
#[must_use]
pub fn evaluate(input: &QuotaInput) -> LabelQuota {
    let day_pct = QuotaPct::of(input.day_spend, input.day_quota);
    let month_exceeded = input.month_quota.is_some_and(|quota| exceeded(input.month_spend, quota));
    let status = if exceeded(input.day_spend, input.day_quota) || month_exceeded {
        QuotaStatus::Exceeded
    } else if tight(input.day_spend, input.day_quota, input.tight_threshold_pct)
        || input.month_quota.is_some_and(|quota| tight(input.month_spend, quota, input.tight_threshold_pct))
    {
        QuotaStatus::Tight
    } else {
        QuotaStatus::Normal
    };
    let switched_off = input.day_quota.0 == 0 || input.month_quota.is_some_and(|quota| quota.0 == 0);
    let by_day = LabelQuota {
        status,
        period: QuotaPeriod::Day,
        spend: input.day_spend,
        quota: input.day_quota,
        pct: day_pct,
        month_exceeded,
        switched_off,
    };
    match input.month_quota.map(|quota| (quota, QuotaPct::of(input.month_spend, quota))) {
        Some((quota, pct)) if pct > day_pct => {
            LabelQuota { period: QuotaPeriod::Month, spend: input.month_spend, quota, pct, ..by_day }
        }
        _ => by_day,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(spend_pico: u128, quota: u64) -> LabelQuota {
        evaluate(&QuotaInput {
            day_spend: PicoUsd::new(spend_pico),
            day_quota: MicroUsd(quota),
            month_spend: PicoUsd::new(spend_pico),
            month_quota: None,
            tight_threshold_pct: 95,
        })
    }

    #[test]
    fn a_label_is_exceeded_at_its_quota_and_not_a_pico_dollar_before() {
        assert_eq!(day(100_000_000, 100).status, QuotaStatus::Exceeded);
        assert_eq!(day(100_000_000, 100).pct, QuotaPct(10_000));
        let just_below = day(99_999_999, 100);
        assert_eq!((just_below.status, just_below.pct), (QuotaStatus::Tight, QuotaPct(9_999)));
    }

    #[test]
    fn a_label_is_tight_from_the_threshold() {
        assert_eq!(day(94_999_999, 100).status, QuotaStatus::Normal);
        assert_eq!(day(95_000_000, 100).status, QuotaStatus::Tight);
    }

    #[test]
    fn a_quota_of_zero_switches_the_label_off() {
        let off = day(0, 0);
        assert_eq!((off.status, off.pct, off.switched_off), (QuotaStatus::Exceeded, QuotaPct(10_000), true));
    }

    #[test]
    fn the_binding_quota_is_reported() {
        let both = |month_spend: u128| {
            evaluate(&QuotaInput {
                day_spend: PicoUsd::new(50_000_000),
                day_quota: MicroUsd(100),
                month_spend: PicoUsd::new(month_spend),
                month_quota: Some(MicroUsd(1_000)),
                tight_threshold_pct: 95,
            })
        };
        assert_eq!(both(500_000_000).period, QuotaPeriod::Day, "the day wins a tie");
        let month = both(1_000_000_000);
        assert_eq!(
            (month.period, month.status, month.quota),
            (QuotaPeriod::Month, QuotaStatus::Exceeded, MicroUsd(1_000))
        );
        assert!(month.month_exceeded);
        assert_eq!(both(950_000_000).status, QuotaStatus::Tight);
    }

    #[test]
    fn a_percentage_is_floored_to_two_decimals() {
        assert_eq!(QuotaPct::of(PicoUsd::new(1), MicroUsd(3)).0, 0);
        assert_eq!(QuotaPct::of(PicoUsd::new(2_000_000), MicroUsd(3)).0, 6_666);
        assert!((QuotaPct(9_250).as_f64() - 92.5).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn a_percentage_reads_100_exactly_when_the_quota_is_exceeded(
            spend in 0u128..(1u128 << 83), quota in 0u64..(1u64 << 63), near in 0u8..3,
        ) {
            // Also right at the edge, where rounding would betray itself.
            let edge = u128::from(quota) * PICO_PER_MICRO;
            let spend = match near { 0 => spend, 1 => edge, _ => edge.saturating_sub(1) };
            let status = day(spend, quota);
            prop_assert_eq!(status.pct.0 >= 10_000, status.status == QuotaStatus::Exceeded);
        }
    }
}
