//! What a model call costs.
//!
//! A price is pico-dollars per unit (equal to micro-USD per one million units). The cost of a call is
//! `Σ units × price`, exact. [`PriceBook`] finds the row, [`cost`](rates::Rates::cost) applies it.

mod book;
mod model_id;
mod rates;
mod snapshot;

pub use book::{PriceBook, PriceQuery, Quote, ResolvedPrice};
pub use model_id::{ModelRef, PriceScope};
pub use rates::{Costed, MAX_COST_PER_SUBMISSION, MAX_PRICE, PriceRow, Rates, TierRates};
pub use snapshot::{SnapshotError, embedded};

use serde::{Deserialize, Serialize};

/// How well a submission could be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PricingStatus {
    /// Every unit had its own price.
    Priced,
    /// A stand-in price was used for some units; the record says so and can be priced again later.
    Estimated,
    /// No price is known. Never free: the submission is counted as unpriced and its tokens are kept.
    Unpriced,
}

/// Where a price came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceSource {
    /// Fetched from the AWS Price List.
    PricingApi,
    /// Set by the operator in the label catalog.
    Config,
    /// The stored copy of an earlier AWS Price List.
    Cached,
    /// The snapshot compiled into the binary.
    Embedded,
}

/// Processing tier of a call, as Bedrock's `serviceTier` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// On demand.
    #[default]
    Default,
    /// Faster, dearer.
    Priority,
    /// Slower, cheaper.
    Flex,
    /// Batch inference.
    Batch,
}

/// Latency profile of a call, as Bedrock's `performanceConfig.latency` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// The usual one.
    #[default]
    Standard,
    /// Latency-optimized inference, priced on its own.
    Optimized,
}
