//! Prices of one model and the exact cost they make.

use serde::{Deserialize, Serialize};

use super::ServiceTier;
use crate::domain::money::{PICO_PER_MICRO, PicoUsd};
use crate::domain::tokens::TokenCounts;

/// Largest price per unit that is believed: one dollar. The dearest published unit today costs 0.6 dollars.
pub const MAX_PRICE: u64 = 1_000_000_000_000;

/// Largest cost of a single submission: one million dollars. Together with 64-bit counters of micro-dollars it
/// leaves room for nine million such submissions per counter, after which they are refused, never wrapped.
pub const MAX_COST_PER_SUBMISSION: PicoUsd = PicoUsd::new(1_000_000_000_000 * PICO_PER_MICRO);

/// Prices in pico-dollars per token. `None` is "not published", which is not the same as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Uncached prompt tokens.
    pub input: Option<u64>,
    /// Generated tokens.
    pub output: Option<u64>,
    /// Prompt tokens read from the cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to the cache for five minutes.
    pub cache_write_5m: Option<u64>,
    /// Prompt tokens written to the cache for one hour.
    pub cache_write_1h: Option<u64>,
}

/// A cost, and whether every price in it was the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costed {
    /// Exact cost.
    pub cost: PicoUsd,
    /// A missing cache price was replaced by the dearest input-side price.
    pub estimated: bool,
}

impl Rates {
    /// Exact cost of these tokens, or `None` where a needed input or output price is not known: an unknown price is
    /// never taken for zero. A missing cache price is replaced by the dearest input-side price.
    ///
    /// Cannot overflow: five admitted counts (≤ 10¹²) times prices (≤ 2⁶⁴) stay below 2¹²⁸.
    #[must_use]
    pub fn cost(&self, tokens: &TokenCounts) -> Option<Costed> {
        let dearest = [self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h].into_iter().flatten().max();
        let mut total: u128 = 0;
        let mut estimated = false;
        for (units, price) in [(tokens.input, self.input), (tokens.output, self.output)] {
            if units > 0 {
                total = total.checked_add(u128::from(units) * u128::from(price?))?;
            }
        }
        for (units, price) in [
            (tokens.cache_read, self.cache_read),
            (tokens.cache_write_5m(), self.cache_write_5m),
            (tokens.cache_write_1h, self.cache_write_1h),
        ] {
            if units > 0 {
                estimated |= price.is_none();
                total = total.checked_add(u128::from(units) * u128::from(price.or(dearest)?))?;
            }
        }
        // A model without input and output prices is priced per image, second or query: its tokens say nothing.
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        Some(Costed { cost: PicoUsd::new(total), estimated })
    }
}

/// The rates of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierRates {
    /// Which tier.
    pub tier: ServiceTier,
    /// Its prices.
    pub rates: Rates,
}

/// All prices of a model at one scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceRow {
    /// Prices by tier; few enough that a search is a glance.
    pub tiers: Vec<TierRates>,
    /// Standard-tier prices that apply to the whole request once its prompt is strictly longer, ascending.
    pub above: Vec<(u64, Rates)>,
}

impl PriceRow {
    /// The prices for a tier and prompt length, and whether the standard tier had to stand in for the one asked for.
    #[must_use]
    pub fn rates(&self, tier: ServiceTier, prompt_tokens: u64) -> Option<(Rates, bool)> {
        let published = |wanted| self.tiers.iter().find(|t| t.tier == wanted).map(|t| t.rates);
        let (base, stand_in) = match published(tier) {
            Some(rates) => (rates, false),
            None => (published(ServiceTier::Default)?, true),
        };
        if tier == ServiceTier::Default || stand_in {
            let long = self.above.iter().rev().find(|(limit, _)| prompt_tokens > *limit);
            if let Some((_, rates)) = long {
                return Some((*rates, stand_in));
            }
        }
        Some((base, stand_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVA_PRO: Rates = Rates {
        input: Some(800_000),
        output: Some(3_200_000),
        cache_read: Some(200_000),
        cache_write_5m: Some(0),
        cache_write_1h: None,
    };

    #[test]
    fn a_cost_is_the_exact_sum_of_units_times_price() {
        let tokens = TokenCounts { input: 1_500, output: 800, ..TokenCounts::default() };
        let costed = NOVA_PRO.cost(&tokens);
        assert_eq!(costed, Some(Costed { cost: PicoUsd::new(1_500 * 800_000 + 800 * 3_200_000), estimated: false }));
        assert_eq!(costed.map(|c| c.cost.to_micros_half_up()), Some(3_760));
    }

    #[test]
    fn a_price_of_zero_is_not_a_missing_price() {
        let written = TokenCounts { cache_write: 10, ..TokenCounts::default() };
        assert_eq!(NOVA_PRO.cost(&written), Some(Costed { cost: PicoUsd::ZERO, estimated: false }));
        let hour = TokenCounts { cache_write: 10, cache_write_1h: 10, ..TokenCounts::default() };
        assert_eq!(NOVA_PRO.cost(&hour), Some(Costed { cost: PicoUsd::new(8_000_000), estimated: true }));
    }

    #[test]
    fn an_unknown_price_is_never_free() {
        let tokens = TokenCounts { output: 1, ..TokenCounts::default() };
        assert_eq!(Rates { input: Some(1), ..Rates::default() }.cost(&tokens), None);
        assert_eq!(Rates::default().cost(&TokenCounts::default()), None);
    }

    #[test]
    fn a_long_prompt_is_priced_anew_as_a_whole_and_only_when_strictly_longer() {
        let long = Rates { input: Some(9), ..Rates::default() };
        let row = PriceRow {
            tiers: vec![TierRates { tier: ServiceTier::Default, rates: NOVA_PRO }],
            above: vec![(100, Rates { input: Some(5), ..Rates::default() }), (200, long)],
        };
        assert_eq!(row.rates(ServiceTier::Default, 100), Some((NOVA_PRO, false)));
        assert_eq!(row.rates(ServiceTier::Default, 101).and_then(|r| r.0.input), Some(5));
        assert_eq!(row.rates(ServiceTier::Flex, 201), Some((long, true)));
    }
}
