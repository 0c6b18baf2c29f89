//! Prices of one model at one place, and the exact cost they make.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Latency, ServiceTier};
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

/// One line of a cost: units of one dimension at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostLine {
    /// Dimension, in the words of the price list.
    pub dimension: &'static str,
    /// Units charged.
    pub units: u64,
    /// Price per unit in pico-dollars; `None` where none is known.
    pub price: Option<u64>,
    /// Whether the price stands in for one that is not published.
    pub stand_in: bool,
}

impl Rates {
    /// What each dimension is charged at. A missing cache price is replaced by the dearest input-side price; a missing
    /// input or output price is not replaced at all.
    #[must_use]
    pub fn lines(&self, tokens: &TokenCounts) -> [CostLine; 5] {
        let dearest =
            [self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h].into_iter().flatten().max();
        let line = |dimension, units, price: Option<u64>| CostLine { dimension, units, price, stand_in: false };
        let cached = |dimension, units, price: Option<u64>| CostLine {
            dimension,
            units,
            price: price.or(dearest),
            stand_in: price.is_none() && units > 0,
        };
        [
            line("input", tokens.input, self.input),
            line("output", tokens.output, self.output),
            cached("cache_read", tokens.cache_read, self.cache_read),
            cached("cache_write_5m", tokens.cache_write_5m(), self.cache_write_5m),
            cached("cache_write_1h", tokens.cache_write_1h, self.cache_write_1h),
        ]
    }

    /// Exact cost of these tokens, or `None` where a needed price is not known: an unknown price is never taken for
    /// zero. Cannot overflow: five admitted counts (≤ 10¹²) times prices (≤ 2⁶⁴) stay below 2¹²⁸; checked all the same.
    #[must_use]
    pub fn cost(&self, tokens: &TokenCounts) -> Option<Costed> {
        // A model without input and output prices is priced per image, second or query: its tokens say nothing.
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let mut total: u128 = 0;
        let mut estimated = false;
        for line in self.lines(tokens) {
            if line.units > 0 {
                total = total.checked_add(u128::from(line.units).checked_mul(u128::from(line.price?))?)?;
                estimated |= line.stand_in;
            }
        }
        Some(Costed { cost: PicoUsd::new(total), estimated })
    }
}

/// Prices of a model at one place, for one tier and latency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateCard {
    /// Processing tier.
    pub tier: ServiceTier,
    /// Latency profile.
    pub latency: Latency,
    /// From when on it is in force; `None` is "always was".
    pub effective_from: Option<Timestamp>,
    /// Prices of a usual prompt.
    pub base: Rates,
    /// Prices of the whole request once its prompt is strictly longer than the limit, by ascending limit.
    pub above: Vec<(u64, Rates)>,
    /// Dimensions that are not charged per text token (images, seconds, queries), in pico-dollars per unit, by name.
    pub units: Vec<(Box<str>, u64)>,
}

impl RateCard {
    /// The prices for a prompt length, and the limit it exceeded.
    #[must_use]
    pub fn rates(&self, prompt_tokens: u64) -> (&Rates, Option<u64>) {
        match self.above.iter().rev().find(|(limit, _)| prompt_tokens > *limit) {
            Some((limit, rates)) => (rates, Some(*limit)),
            None => (&self.base, None),
        }
    }

    /// Whether it is in force at an instant.
    #[must_use]
    pub fn in_force(&self, at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let longer = Rates { input: Some(10), ..Rates::default() };
        let card = RateCard { base: NOVA_PRO, above: vec![(100, long), (200, longer)], ..RateCard::default() };
        assert_eq!(card.rates(100), (&NOVA_PRO, None));
        assert_eq!(card.rates(101), (&long, Some(100)));
        assert_eq!(card.rates(200), (&long, Some(100)));
        assert_eq!(card.rates(201), (&longer, Some(200)));
    }

    fn price() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(0..=MAX_PRICE)
    }

    prop_compose! {
        fn rates()(input in price(), output in price(), read in price(), five in price(), hour in price()) -> Rates {
            Rates { input, output, cache_read: read, cache_write_5m: five, cache_write_1h: hour }
        }
    }

    prop_compose! {
        fn tokens()(counts in proptest::array::uniform4(0u64..=1_000_000_000_000), hour in 0u64..=1_000_000_000_000) -> TokenCounts {
            let [input, output, cache_read, cache_write] = counts;
            TokenCounts { input, output, cache_read, cache_write, cache_write_1h: hour.min(cache_write) }
        }
    }

    /// Decimal digits of a product, computed by hand: an independent road to the same number, with no limit on size.
    fn schoolbook(a: u64, b: u64) -> Vec<u32> {
        let digits = |n: u64| n.to_string().bytes().rev().map(|d| u32::from(d - b'0')).collect::<Vec<_>>();
        let (a, b) = (digits(a), digits(b));
        let mut out = vec![0u32; a.len() + b.len() + 1];
        for (i, x) in a.iter().enumerate() {
            let mut carry = 0;
            for (j, y) in b.iter().enumerate() {
                let sum = out[i + j] + x * y + carry;
                out[i + j] = sum % 10;
                carry = sum / 10;
            }
            out[i + b.len()] += carry;
        }
        out
    }

    fn add(total: &mut Vec<u32>, addend: &[u32]) {
        let length = total.len().max(addend.len()) + 1;
        total.resize(length, 0);
        let mut carry = 0;
        for (i, digit) in total.iter_mut().enumerate() {
            let sum = *digit + addend.get(i).copied().unwrap_or(0) + carry;
            *digit = sum % 10;
            carry = sum / 10;
        }
    }

    proptest! {
        #[test]
        fn a_cost_equals_unlimited_decimal_arithmetic(rates in rates(), tokens in tokens()) {
            let Some(costed) = rates.cost(&tokens) else { return Ok(()) };
            let mut expected = vec![0];
            for line in rates.lines(&tokens) {
                if line.units > 0 {
                    add(&mut expected, &schoolbook(line.units, line.price.unwrap()));
                }
            }
            let text: String = expected.iter().rev().map(u32::to_string).collect();
            let text = text.trim_start_matches('0');
            prop_assert_eq!(if text.is_empty() { "0" } else { text }, costed.cost.get().to_string());
        }

        #[test]
        fn a_cost_grows_with_the_tokens(rates in rates(), tokens in tokens(), more in 0u64..1000) {
            let larger = TokenCounts { input: tokens.input + more, ..tokens };
            if let (Some(a), Some(b)) = (rates.cost(&tokens), rates.cost(&larger)) {
                prop_assert!(a.cost <= b.cost);
            }
        }
    }
}
