//! `pricing`: prices the operator sets, and what a model without a known price costs.

use serde::{Deserialize, Serialize};

use super::aws_pricing::AwsPricingConfig;
use super::key::{Key, Kind};
use super::price_overrides;
use crate::domain::pricing::{DuplicateRow, MAX_PRICE, PriceBook, Rates};

/// A price: micro-USD per one million tokens, which is pico-dollars per token.
pub(super) const PRICE: Kind = Kind::Int { min: 0, max: MAX_PRICE, unit: "micro-USD per 1M tokens" };

// A ceiling of zero would make unknown models free, which they never are.
const CEILING: Kind = Kind::Int { min: 1, max: MAX_PRICE, unit: "micro-USD per 1M tokens" };

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "pricing.unknown_model",
        "What becomes of usage of a model without a known price",
        Kind::Word(&["unpriced", "ceiling"]),
    ),
    Key::new("pricing.ceiling.input_usd_micros_per_1m", "Every input-side token, cached or not", CEILING),
    Key::new("pricing.ceiling.output_usd_micros_per_1m", "Generated tokens", CEILING),
    Key::new(
        "pricing.overrides",
        "Prices of models that beat every other source",
        Kind::List { expected: price_overrides::EXPECTED, accepts: price_overrides::accepts },
    ),
];

/// What to do with a submission whose model has no known price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownModel {
    /// Accept it, count it as unpriced and keep its tokens.
    #[default]
    Unpriced,
    /// Charge it at the ceiling prices.
    Ceiling,
}

/// Prices the operator sets, and pricing of models without a known price.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricingConfig {
    /// What to do with a submission whose model has no known price.
    pub unknown_model: UnknownModel,
    /// Prices used where `unknown_model` is `ceiling`.
    pub ceiling: CeilingConfig,
    /// Prices of models that beat every other source.
    pub overrides: Vec<String>,
    /// Prices published by AWS.
    pub aws: AwsPricingConfig,
}

/// Prices assumed for an unknown model, in micro-USD per 1M tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingConfig {
    /// Every input-side token, cached or not.
    pub input_usd_micros_per_1m: u64,
    /// Generated tokens.
    pub output_usd_micros_per_1m: u64,
}

impl Default for CeilingConfig {
    /// Above every price per token of the compiled-in snapshot's standard tier (dearest: 27.5 USD input, 55 USD
    /// one-hour cache write, 137.5 USD output per 1M), so that a ceiling errs on the side of stopping early.
    fn default() -> Self {
        Self { input_usd_micros_per_1m: 75_000_000, output_usd_micros_per_1m: 150_000_000 }
    }
}

impl PricingConfig {
    /// The operator's prices of models.
    ///
    /// # Errors
    /// [`DuplicateRow`] where two overrides price the same; a start is refused for it.
    pub fn override_book(&self) -> Result<PriceBook, DuplicateRow> {
        price_overrides::book(&self.overrides)
    }

    /// The prices for a model without a known price, or `None` where it stays unpriced. The input price stands for
    /// cached tokens too.
    #[must_use]
    pub fn unknown_model_rates(&self) -> Option<Rates> {
        let input = Some(self.ceiling.input_usd_micros_per_1m);
        match self.unknown_model {
            UnknownModel::Unpriced => None,
            UnknownModel::Ceiling => Some(Rates {
                input,
                output: Some(self.ceiling.output_usd_micros_per_1m),
                cache_read: input,
                cache_write_5m: input,
                cache_write_1h: input,
            }),
        }
    }
}
