//! Money as exact integers.
//!
//! The unit of computation is the pico-dollar (10⁻¹² USD): a price in micro-USD per one million units *is* a price
//! in pico-dollars per unit, so a cost is a sum of integer products. Nothing is rounded before it is summed; the
//! only rounding, half-up to micro-dollars, happens when a figure leaves the service.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Pico-dollars in one micro-dollar.
pub const PICO_PER_MICRO: u128 = 1_000_000;

/// Whole micro-dollars (10⁻⁶ USD): quotas, and costs given by a client. At most `i64::MAX`, as every store can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

/// An exact, non-negative amount in pico-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PicoUsd(u128);

impl PicoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of pico-dollars.
    #[must_use]
    pub const fn new(pico: u128) -> Self {
        Self(pico)
    }

    /// The amount in pico-dollars.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Sum, or `None` on overflow: a counter never wraps.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Difference, or `None` where `other` is larger: a counter is never negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Difference, or zero where `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Rounded half-up to micro-dollars, for a response. Saturates at `u64::MAX`, far above any admitted total.
    #[must_use]
    pub fn to_micros_half_up(self) -> u64 {
        let micros = self.0 / PICO_PER_MICRO + u128::from(self.0 % PICO_PER_MICRO >= PICO_PER_MICRO / 2);
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// Average over `count` in micro-dollars, rounded half-up once from the exact total; zero for no requests.
    #[must_use]
    pub fn average_micros_half_up(self, count: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let divisor = u128::from(count) * PICO_PER_MICRO;
        let average = self.0 / divisor + u128::from(self.0 % divisor >= divisor.div_ceil(2));
        u64::try_from(average).unwrap_or(u64::MAX)
    }

    /// As (whole micro-dollars, pico-dollars below one micro-dollar): two additive integers for SQL counters.
    /// `None` where the whole part does not fit a signed 64-bit column.
    #[must_use]
    pub fn to_columns(self) -> Option<(i64, i64)> {
        let micros = i64::try_from(self.0 / PICO_PER_MICRO).ok()?;
        let residue = i64::try_from(self.0 % PICO_PER_MICRO).ok()?;
        Some((micros, residue))
    }

    /// The inverse of [`to_columns`](Self::to_columns), also for sums of such pairs, whose residues may exceed one
    /// micro-dollar. `None` for negative columns, which no writer of ours produces.
    #[must_use]
    pub fn from_columns(micros: i64, residue: i64) -> Option<Self> {
        let micros = u128::try_from(micros).ok()?;
        let residue = u128::try_from(residue).ok()?;
        Some(Self(micros * PICO_PER_MICRO + residue))
    }
}

impl From<MicroUsd> for PicoUsd {
    fn from(micros: MicroUsd) -> Self {
        Self(u128::from(micros.0) * PICO_PER_MICRO)
    }
}

impl std::iter::Sum for PicoUsd {
    /// Sum of already admitted totals, each below 2⁶³ micro-dollars: 10¹² of them fit, so saturation is unreachable.
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |total, item| Self(total.0.saturating_add(item.0)))
    }
}

impl fmt::Display for PicoUsd {
    /// Exact dollars, for logs and people: `0.000000350000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PICO_PER_USD: u128 = 1_000_000_000_000;
        write!(f, "{}.{:012}", self.0 / PICO_PER_USD, self.0 % PICO_PER_USD)
    }
}

/// Signed difference `client − server` in pico-dollars, summed over submissions that carry both figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CostDrift(i128);

impl CostDrift {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// `client − server`; `None` where an amount exceeds the signed range.
    #[must_use]
    pub fn between(client: PicoUsd, server: PicoUsd) -> Option<Self> {
        let client = i128::try_from(client.0).ok()?;
        let server = i128::try_from(server.0).ok()?;
        client.checked_sub(server).map(Self)
    }

    /// The difference in pico-dollars.
    #[must_use]
    pub const fn get(self) -> i128 {
        self.0
    }

    /// A difference of pico-dollars.
    #[must_use]
    pub const fn new(pico: i128) -> Self {
        Self(pico)
    }

    /// Sum, or `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Difference, or `None` on overflow.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// As (micro-dollars, pico-dollars), both truncated toward zero and so additive; `None` where they do not fit.
    #[must_use]
    pub fn to_columns(self) -> Option<(i64, i64)> {
        let micros = i64::try_from(self.0 / 1_000_000).ok()?;
        let residue = i64::try_from(self.0 % 1_000_000).ok()?;
        Some((micros, residue))
    }

    /// The inverse of [`to_columns`](Self::to_columns), also for sums of such pairs.
    #[must_use]
    pub fn from_columns(micros: i64, residue: i64) -> Self {
        Self(i128::from(micros) * 1_000_000 + i128::from(residue))
    }

    /// Rounded half away from zero to micro-dollars, for a response.
    #[must_use]
    pub fn to_micros_half_up(self) -> i64 {
        let magnitude = PicoUsd(self.0.unsigned_abs()).to_micros_half_up();
        let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
        if self.0 < 0 { -magnitude } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Rounding once from the exact sum differs from the exact value by at most half a micro-dollar, however many
        /// amounts there are and in whatever order they come.
        #[test]
        fn a_sum_is_exact_in_any_order_and_rounded_once(mut amounts in proptest::collection::vec(0u128..(1 << 62), 0..50)) {
            let exact: u128 = amounts.iter().sum();
            let sum = |amounts: &[u128]| amounts.iter().copied().map(PicoUsd::new).sum::<PicoUsd>();
            let total = sum(&amounts);
            amounts.reverse();
            prop_assert_eq!(total, sum(&amounts));
            prop_assert_eq!(total.get(), exact);
            let rounded = u128::from(total.to_micros_half_up()) * PICO_PER_MICRO;
            prop_assert!(rounded.abs_diff(exact) <= PICO_PER_MICRO / 2);
        }

        #[test]
        fn columns_carry_an_amount_whole_and_their_sums_too(a in 0u128..(1 << 80), b in 0u128..(1 << 80)) {
            let columns = |pico| PicoUsd::new(pico).to_columns().unwrap();
            prop_assert_eq!(PicoUsd::from_columns(columns(a).0, columns(a).1), Some(PicoUsd::new(a)));
            let sum = PicoUsd::from_columns(columns(a).0 + columns(b).0, columns(a).1 + columns(b).1);
            prop_assert_eq!(sum, PicoUsd::new(a).checked_add(PicoUsd::new(b)));
        }

        #[test]
        fn drift_columns_carry_a_signed_amount_whole(drift in -(1i128 << 80)..(1i128 << 80)) {
            let (micros, residue) = CostDrift::new(drift).to_columns().unwrap();
            prop_assert_eq!(CostDrift::from_columns(micros, residue), CostDrift::new(drift));
        }
    }

    #[test]
    fn ten_million_requests_of_035_micro_usd_are_exactly_3_50_usd() {
        let one = PicoUsd::new(350_000);
        let total: PicoUsd = std::iter::repeat_n(one, 10_000_000).sum();
        assert_eq!(total.to_micros_half_up(), 3_500_000);
        assert_eq!(one.to_micros_half_up(), 0);
    }

    #[test]
    fn rounding_is_half_up_and_only_at_the_edge() {
        assert_eq!(PicoUsd::new(499_999).to_micros_half_up(), 0);
        assert_eq!(PicoUsd::new(500_000).to_micros_half_up(), 1);
        assert_eq!(PicoUsd::new(1_499_999).to_micros_half_up(), 1);
        assert_eq!(PicoUsd::new(u128::MAX).to_micros_half_up(), u64::MAX);
    }

    #[test]
    fn an_average_is_rounded_once_from_the_exact_total() {
        // 3 requests, 1.4 micro-USD in all: 0.4666… each.
        assert_eq!(PicoUsd::new(1_400_000).average_micros_half_up(3), 0);
        assert_eq!(PicoUsd::new(1_500_000).average_micros_half_up(3), 1);
        assert_eq!(PicoUsd::new(1_499_999).average_micros_half_up(3), 0);
        assert_eq!(PicoUsd::new(7).average_micros_half_up(0), 0);
    }

    #[test]
    fn drift_is_signed_and_its_columns_add() {
        let low = CostDrift::between(PicoUsd::new(1), PicoUsd::new(2_500_002));
        assert_eq!(low, Some(CostDrift::new(-2_500_001)));
        assert_eq!(CostDrift::new(-2_500_001).to_columns(), Some((-2, -500_001)));
        assert_eq!(CostDrift::from_columns(-2, -500_001), CostDrift::new(-2_500_001));
        assert_eq!(CostDrift::new(-2_500_001).to_micros_half_up(), -3);
        assert_eq!(CostDrift::new(2_499_999).to_micros_half_up(), 2);
    }

    #[test]
    fn what_does_not_fit_a_column_is_refused_not_wrapped() {
        assert_eq!(PicoUsd::new(u128::MAX).to_columns(), None);
        assert_eq!(PicoUsd::new(u128::MAX).checked_add(PicoUsd::new(1)), None);
        assert_eq!(PicoUsd::from_columns(-1, 0), None);
    }
}
