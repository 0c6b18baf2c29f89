//! Prices of calls: the price book, the operator's overrides, and what an unknown model costs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::domain::catalog::LabelEntry;
use crate::domain::pricing::{PriceBook, PriceQuery, PriceSource, Quote, Rates, ResolvedPrice};

/// Most distinct unpriced models that are remembered to warn about each only once. Model ids come from callers, so
/// the memory of them must have an end; beyond it, further models are counted but not named in the log.
const MAX_WARNED_MODELS: usize = 1_000;

/// Prices calls.
#[derive(Debug)]
pub struct Pricer {
    book: PriceBook,
    /// What a model without a known price is charged, where the operator wants it charged at all.
    ceiling: Option<Rates>,
    warned: Mutex<HashSet<String>>,
}

impl Pricer {
    /// Prices from `book`; an unknown model is charged at `ceiling`, or not at all.
    #[must_use]
    pub fn new(book: PriceBook, ceiling: Option<Rates>) -> Self {
        Self { book, ceiling, warned: Mutex::default() }
    }

    /// Prices one call. `label` is the catalog entry it is charged to: its operator price counts where the label's
    /// own model was called. A model without a known price stays `UNPRICED` also where the ceiling is charged.
    #[must_use]
    pub fn quote(&self, query: &PriceQuery<'_>, label: Option<&LabelEntry>) -> Quote {
        let own_model = label.filter(|entry| entry.bedrock_model_id == query.model_id);
        let quote = self.book.quote(query, own_model.and_then(|entry| entry.price_override.as_ref()));
        if quote.source.is_some() {
            return quote;
        }
        self.warn_once(query.model_id);
        match self.ceiling.and_then(|rates| rates.cost(&query.tokens)) {
            Some(costed) => Quote { cost: costed.cost, source: Some(PriceSource::Config), ..quote },
            None => quote,
        }
    }

    /// The standard prices of a catalog entry, for display.
    #[must_use]
    pub fn resolve(&self, entry: &LabelEntry) -> Option<ResolvedPrice> {
        self.book.resolve(&entry.bedrock_model_id, None, entry.price_override.as_ref())
    }

    fn warn_once(&self, model_id: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < MAX_WARNED_MODELS && warned.insert(model_id.to_owned()) {
            tracing::warn!(?model_id, "no price is known for this model; its usage is counted as unpriced");
        }
    }
}
