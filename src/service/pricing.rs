//! Prices of calls: the price book, the operator's overrides, and what an unknown model costs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;

use crate::domain::catalog::LabelEntry;
use crate::domain::pricing::{Latency, PriceCatalog, PriceQuery, PriceSource, Quote, Rates, ServiceTier};
use crate::domain::tokens::TokenCounts;

/// Most distinct unpriced models that are remembered to warn about each only once. Model ids come from callers, so
/// the memory of them must have an end; beyond it, further models are counted but not named in the log.
const MAX_WARNED_MODELS: usize = 1_000;

/// The standard prices of a model, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardPrice {
    /// Prices per token.
    pub rates: Rates,
    /// Where they came from.
    pub source: PriceSource,
    /// Version of that source.
    pub version: Arc<str>,
}

/// Prices calls.
#[derive(Debug)]
pub struct Pricer {
    /// Replaced whole when new prices arrive. Held only to clone the pointer, never across an await.
    catalog: RwLock<Arc<PriceCatalog>>,
    /// What a model without a known price is charged, where the operator wants it charged at all.
    ceiling: Option<Rates>,
    warned: Mutex<HashSet<String>>,
}

impl Pricer {
    /// Prices from `catalog`; an unknown model is charged at `ceiling`, or not at all.
    #[must_use]
    pub fn new(catalog: PriceCatalog, ceiling: Option<Rates>) -> Self {
        Self { catalog: RwLock::new(Arc::new(catalog)), ceiling, warned: Mutex::default() }
    }

    /// The prices in force.
    #[must_use]
    pub fn catalog(&self) -> Arc<PriceCatalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other prices in force, all at once.
    pub fn replace(&self, catalog: PriceCatalog) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }

    /// Prices one call. `label` is the catalog entry it is charged to: its operator price counts where the label's
    /// own model was called. A model without a known price stays `UNPRICED` also where the ceiling is charged.
    #[must_use]
    pub fn quote(&self, query: &PriceQuery<'_>, label: Option<&LabelEntry>) -> Quote {
        let own_model = label.filter(|entry| entry.bedrock_model_id == query.model_id);
        let quote = self.catalog().quote(query, own_model.and_then(|entry| entry.price_override.as_ref()));
        if quote.source.is_some() {
            return quote;
        }
        self.warn_once(query.model_id);
        match self.ceiling.and_then(|rates| rates.cost(&query.tokens)) {
            Some(costed) => Quote { cost: costed.cost, source: Some(PriceSource::Config), ..quote },
            None => quote,
        }
    }

    /// The standard-tier, short-prompt prices of a catalog entry now, for display.
    #[must_use]
    pub fn standard_price(&self, entry: &LabelEntry, at: Timestamp) -> Option<StandardPrice> {
        let query = PriceQuery {
            model_id: &entry.bedrock_model_id,
            region: None,
            tier: ServiceTier::Default,
            latency: Latency::Standard,
            tokens: TokenCounts::default(),
            cache_ttl_assumed: false,
            at,
        };
        let catalog = self.catalog();
        let resolved = catalog.resolve(&query, entry.price_override.as_ref())?;
        Some(StandardPrice { rates: *resolved.rates, source: resolved.source, version: Arc::clone(resolved.version) })
    }

    fn warn_once(&self, model_id: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < MAX_WARNED_MODELS && warned.insert(model_id.to_owned()) {
            tracing::warn!(?model_id, "no price is known for this model; its usage is counted as unpriced");
        }
    }
}
