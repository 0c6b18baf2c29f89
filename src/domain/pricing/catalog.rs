//! Several price sources in order of trust, and the price of one call over all of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::book::{Found, PriceBook, RowQuery, StandIns};
use super::model_id::ModelRef;
use super::rates::Rates;
use super::{Latency, PriceSource, PricingStatus, ServiceTier};
use crate::domain::money::PicoUsd;
use crate::domain::tokens::TokenCounts;

/// The version reported for prices from the configuration, which carries none of its own.
pub const CONFIG_VERSION: &str = "config";

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
    /// Whether the time to live of cache writes was assumed, not reported.
    pub cache_ttl_assumed: bool,
    /// When the submission is priced: prices in force then count.
    pub at: Timestamp,
}

/// The answer to a [`PriceQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Exact cost; zero where `status` is `Unpriced`, or where the call cost nothing.
    pub cost: PicoUsd,
    /// How well it could be priced.
    pub status: PricingStatus,
    /// Source of the price; `None` where there is none.
    pub source: Option<PriceSource>,
    /// Version of that source.
    pub version: Option<Arc<str>>,
}

impl Quote {
    /// No price is known.
    #[must_use]
    pub fn unpriced() -> Self {
        Self { cost: PicoUsd::ZERO, status: PricingStatus::Unpriced, source: None, version: None }
    }

    /// The figure this service stands by, to be held against a client's own: none where no price is known (what an
    /// unknown model is charged instead is no price), and none where no tokens were reported to compute it from.
    #[must_use]
    pub fn server_cost(&self, tokens: &TokenCounts) -> Option<PicoUsd> {
        (self.status != PricingStatus::Unpriced && !tokens.is_zero()).then_some(self.cost)
    }
}

/// Prices resolved for a call, with what they rest on.
#[derive(Debug, Clone, Copy)]
pub struct Resolved<'a> {
    /// The prices that apply.
    pub rates: &'a Rates,
    /// The prompt limit that was exceeded, where long-context prices apply.
    pub prompt_gt: Option<u64>,
    /// The row; `None` for an operator's price of a label.
    pub row: Option<Found<'a>>,
    /// Where the price came from.
    pub source: PriceSource,
    /// Version of that source.
    pub version: &'a Arc<str>,
}

impl Resolved<'_> {
    /// What had to stand in.
    #[must_use]
    pub fn stand_ins(&self) -> StandIns {
        self.row.map(|row| row.stand_ins).unwrap_or_default()
    }
}

/// Price sources, the most trusted first. A model's price comes whole from the first source that can price the call.
#[derive(Debug, Clone)]
pub struct PriceCatalog {
    books: Vec<Arc<PriceBook>>,
    config_version: Arc<str>,
}

impl PriceCatalog {
    /// A catalog over these books, the most trusted first.
    #[must_use]
    pub fn new(books: Vec<Arc<PriceBook>>) -> Self {
        Self { books, config_version: CONFIG_VERSION.into() }
    }

    /// The books, the most trusted first.
    #[must_use]
    pub fn books(&self) -> &[Arc<PriceBook>] {
        &self.books
    }

    /// Every price that could apply to a call, in order of trust: an operator's price of the label first.
    fn candidates<'a>(
        &'a self,
        query: &'a PriceQuery<'_>,
        label_price: Option<&'a Rates>,
    ) -> impl Iterator<Item = Resolved<'a>> {
        let of_label = label_price.map(|rates| Resolved {
            rates,
            prompt_gt: None,
            row: None,
            source: PriceSource::Config,
            version: &self.config_version,
        });
        let row_query = ModelRef::parse(query.model_id).map(|model| RowQuery {
            model,
            region: query.region,
            tier: query.tier,
            latency: query.latency,
            at: query.at,
        });
        let of_books = self.books.iter().filter_map(move |book| {
            let row = book.find(row_query.as_ref()?)?;
            let (rates, prompt_gt) = row.card.rates(query.tokens.prompt());
            Some(Resolved { rates, prompt_gt, row: Some(row), source: book.source(), version: book.version() })
        });
        of_label.into_iter().chain(of_books)
    }

    /// The prices that apply to a call, with what they rest on.
    #[must_use]
    pub fn resolve<'a>(&'a self, query: &'a PriceQuery<'_>, label_price: Option<&'a Rates>) -> Option<Resolved<'a>> {
        self.candidates(query, label_price).find(|resolved| resolved.rates.cost(&query.tokens).is_some())
    }

    /// Prices one call.
    #[must_use]
    pub fn quote(&self, query: &PriceQuery<'_>, label_price: Option<&Rates>) -> Quote {
        let priced = self
            .candidates(query, label_price)
            .find_map(|resolved| resolved.rates.cost(&query.tokens).map(|costed| (resolved, costed)));
        let Some((resolved, costed)) = priced else { return Quote::unpriced() };
        let ttl_assumed = query.cache_ttl_assumed && query.tokens.cache_write > 0;
        let estimated = costed.estimated || ttl_assumed || resolved.stand_ins().any();
        Quote {
            cost: costed.cost,
            status: if estimated { PricingStatus::Estimated } else { PricingStatus::Priced },
            source: Some(resolved.source),
            version: Some(Arc::clone(resolved.version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::embedded;
    use super::*;

    fn query(model_id: &str, input: u64) -> PriceQuery<'_> {
        PriceQuery {
            model_id,
            region: None,
            tier: ServiceTier::Default,
            latency: Latency::Standard,
            tokens: TokenCounts { input, ..TokenCounts::default() },
            cache_ttl_assumed: false,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_label_price_beats_an_override_beats_the_snapshot() {
        let mut overrides = PriceBook::new(PriceSource::Config, CONFIG_VERSION);
        let place = super::super::Place { scope: super::super::PriceScope::InRegion, region: None };
        let rates = Rates { input: Some(7), output: Some(0), ..Rates::default() };
        let card = super::super::RateCard { base: rates, ..Default::default() };
        overrides.insert("amazon.nova-pro-v1:0", place, card).unwrap();
        let catalog = PriceCatalog::new(vec![Arc::new(overrides), Arc::new(embedded().unwrap())]);
        let label_price = Rates { input: Some(3), output: Some(0), ..Rates::default() };
        let price = |model, label: Option<&Rates>| {
            let quote = catalog.quote(&query(model, 1), label);
            (quote.cost.get(), quote.source)
        };
        assert_eq!(price("amazon.nova-pro-v1:0", Some(&label_price)), (3, Some(PriceSource::Config)));
        assert_eq!(price("amazon.nova-pro-v1:0", None), (7, Some(PriceSource::Config)));
        assert_eq!(price("amazon.nova-micro-v1:0", None), (35_000, Some(PriceSource::Embedded)));
    }

    #[test]
    fn the_server_stands_by_a_figure_only_where_it_knew_price_and_tokens() {
        let catalog = PriceCatalog::new(vec![Arc::new(embedded().unwrap())]);
        let figure = |model, input| {
            let query = query(model, input);
            catalog.quote(&query, None).server_cost(&query.tokens)
        };
        assert_eq!(figure("amazon.nova-micro-v1:0", 1), Some(PicoUsd::new(35_000)));
        assert_eq!(figure("amazon.nova-micro-v1:0", 0), None, "nothing was reported");
        assert_eq!(figure("acme.unknown", 1), None, "nobody knows");
    }
}
