//! Price rows of one source, and the resolution of one call against them.

use std::collections::HashMap;

use super::model_id::{ModelRef, PriceScope};
use super::rates::{PriceRow, Rates};
use super::{Latency, PriceSource, PricingStatus, ServiceTier};
use crate::domain::money::PicoUsd;
use crate::domain::tokens::TokenCounts;

/// What is to be priced.
#[derive(Debug, Clone, Copy)]
pub struct PriceQuery<'a> {
    /// The model that was called: a model id, a prefixed id or an ARN.
    pub model_id: &'a str,
    /// The region the call was made from, where known.
    pub region: Option<&'a str>,
    /// Processing tier.
    pub tier: ServiceTier,
    /// Latency profile.
    pub latency: Latency,
    /// Tokens of the call.
    pub tokens: TokenCounts,
}

/// The answer to a [`PriceQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Exact cost; zero exactly when `status` is `Unpriced`, or when the call cost nothing.
    pub cost: PicoUsd,
    /// How well it could be priced.
    pub status: PricingStatus,
    /// Source of the price; `None` where there is none.
    pub source: Option<PriceSource>,
    /// Version of that source.
    pub version: Option<String>,
}

impl Quote {
    /// No price is known.
    #[must_use]
    pub fn unpriced() -> Self {
        Self { cost: PicoUsd::ZERO, status: PricingStatus::Unpriced, source: None, version: None }
    }
}

/// The standard prices of a model, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPrice {
    /// Prices per unit.
    pub rates: Rates,
    /// Where they came from.
    pub source: PriceSource,
    /// Version of that source.
    pub version: String,
}

/// All prices of one source.
#[derive(Debug, Clone)]
pub struct PriceBook {
    source: PriceSource,
    version: String,
    rows: HashMap<String, HashMap<PriceScope, PriceRow>>,
}

impl PriceBook {
    /// An empty book.
    #[must_use]
    pub fn new(source: PriceSource, version: String) -> Self {
        Self { source, version, rows: HashMap::new() }
    }

    /// Adds a row; `false` (and no change) where the model already has one at that scope.
    pub fn insert(&mut self, model: String, scope: PriceScope, row: PriceRow) -> bool {
        let scopes = self.rows.entry(model).or_default();
        if scopes.contains_key(&scope) {
            return false;
        }
        scopes.insert(scope, row);
        true
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.values().map(HashMap::len).sum()
    }

    /// Whether there is no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row that prices a call: the exact scope, else the calling region's in-region row, else the in-region row.
    /// The flag says that another scope than the called one had to stand in.
    fn row(&self, called: &ModelRef, region: Option<&str>) -> Option<(&PriceRow, bool)> {
        let scopes = self.rows.get(&called.model)?;
        let in_region = |region: &str| scopes.get(&PriceScope::Region(region.to_owned()));
        match &called.scope {
            PriceScope::Default => {
                region.and_then(in_region).or_else(|| scopes.get(&PriceScope::Default)).map(|row| (row, false))
            }
            PriceScope::Region(own) => {
                in_region(own).or_else(|| scopes.get(&PriceScope::Default)).map(|row| (row, false))
            }
            scope @ (PriceScope::Geo(_) | PriceScope::Global) => match scopes.get(scope) {
                Some(row) => Some((row, false)),
                None => {
                    region.and_then(in_region).or_else(|| scopes.get(&PriceScope::Default)).map(|row| (row, true))
                }
            },
        }
    }

    /// Prices one call. An operator's `price_override` beats the book.
    #[must_use]
    pub fn quote(&self, query: &PriceQuery<'_>, price_override: Option<&Rates>) -> Quote {
        if let Some(costed) = price_override.and_then(|rates| rates.cost(&query.tokens)) {
            return Quote {
                cost: costed.cost,
                status: if costed.estimated { PricingStatus::Estimated } else { PricingStatus::Priced },
                source: Some(PriceSource::Config),
                version: Some(CONFIG_VERSION.to_owned()),
            };
        }
        let found = self.row(&ModelRef::parse(query.model_id), query.region).and_then(|(row, other_scope)| {
            let (rates, other_tier) = row.rates(query.tier, query.tokens.prompt())?;
            let costed = rates.cost(&query.tokens)?;
            // Latency-optimized prices are not in the book yet, so the standard ones stand in, visibly.
            let estimated =
                costed.estimated || other_scope || other_tier || query.latency == Latency::Optimized;
            Some((costed.cost, estimated))
        });
        match found {
            Some((cost, estimated)) => Quote {
                cost,
                status: if estimated { PricingStatus::Estimated } else { PricingStatus::Priced },
                source: Some(self.source),
                version: Some(self.version.clone()),
            },
            None => Quote::unpriced(),
        }
    }

    /// The standard-tier, short-prompt prices of a model, for display.
    #[must_use]
    pub fn resolve(&self, model_id: &str, region: Option<&str>, price_override: Option<&Rates>) -> Option<ResolvedPrice> {
        if let Some(rates) = price_override {
            return Some(ResolvedPrice {
                rates: *rates,
                source: PriceSource::Config,
                version: CONFIG_VERSION.to_owned(),
            });
        }
        let (row, _) = self.row(&ModelRef::parse(model_id), region)?;
        let (rates, _) = row.rates(ServiceTier::Default, 0)?;
        Some(ResolvedPrice { rates, source: self.source, version: self.version.clone() })
    }
}

/// The version reported for prices from the configuration, which carries none of its own.
const CONFIG_VERSION: &str = "config";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::embedded;
    use super::*;

    fn query<'a>(model_id: &'a str, tokens: TokenCounts) -> PriceQuery<'a> {
        PriceQuery { model_id, region: None, tier: ServiceTier::Default, latency: Latency::Standard, tokens }
    }

    #[test]
    fn the_default_labels_have_the_published_prices() {
        let book = embedded().unwrap();
        for (model, input, output) in [
            ("amazon.nova-pro-v1:0", 800_000, 3_200_000),
            ("amazon.nova-2-lite-v1:0", 330_000, 2_750_000),
            ("amazon.nova-micro-v1:0", 35_000, 140_000),
        ] {
            let rates = book.resolve(model, None, None).unwrap().rates;
            assert_eq!((rates.input, rates.output), (Some(input), Some(output)), "{model}");
        }
    }

    #[test]
    fn an_unknown_model_is_unpriced_and_an_override_prices_it() {
        let book = embedded().unwrap();
        let tokens = TokenCounts { input: 1_000_000, output: 10, ..TokenCounts::default() };
        let quote = book.quote(&query("acme.unknown-v1:0", tokens), None);
        assert_eq!(quote, Quote::unpriced());
        let rates = Rates { input: Some(7), output: Some(11), ..Rates::default() };
        let quote = book.quote(&query("acme.unknown-v1:0", tokens), Some(&rates));
        assert_eq!((quote.cost, quote.source), (PicoUsd::new(7_000_110), Some(PriceSource::Config)));
    }

    #[test]
    fn a_tier_without_a_published_price_is_estimated_at_the_standard_one() {
        let book = embedded().unwrap();
        let tokens = TokenCounts { input: 1_000_000, ..TokenCounts::default() };
        let mut asked = query("amazon.nova-2-lite-v1:0", tokens);
        asked.tier = ServiceTier::Flex;
        let flex = book.quote(&asked, None);
        assert_eq!((flex.cost.to_micros_half_up(), flex.status), (165_000, PricingStatus::Priced));
        asked.model_id = "ai21.jamba-instruct-v1:0";
        let estimated = book.quote(&asked, None);
        assert_eq!((estimated.cost.to_micros_half_up(), estimated.status), (500_000, PricingStatus::Estimated));
    }
}
