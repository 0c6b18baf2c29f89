//! What a model call costs.
//!
//! A price is pico-dollars per unit (equal to micro-USD per one million units). The cost of a call is
//! `Σ units × price`, exact. A model id is taken apart ([`ModelRef`]), finds its row in the books of a
//! [`PriceCatalog`] (the most trusted first), and the row's [`Rates`] make the cost.

mod book;
mod catalog;
mod convention;
mod model_id;
pub mod price_list;
mod rates;
mod scope;
mod snapshot;

pub use book::{DuplicateRow, Found, Place, PriceBook, RowQuery, StandIns, place_text};
pub use catalog::{CONFIG_VERSION, PriceCatalog, PriceQuery, Quote, Resolved};
pub use convention::without_cached_input;
pub use model_id::ModelRef;
pub use rates::{CostLine, Costed, MAX_COST_PER_SUBMISSION, MAX_PRICE, RateCard, Rates};
pub use scope::{Geo, PriceScope};
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
    /// Set by the operator in the configuration.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// The usual one.
    #[default]
    Standard,
    /// Latency-optimized inference, priced on its own.
    Optimized,
}
