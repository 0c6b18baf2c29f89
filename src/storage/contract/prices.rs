//! The price list that was fetched last, shared by all instances.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;

/// A stored price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPrices {
    /// Version of the publication.
    pub version: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The prices, in a form only the service reads.
    pub document: String,
}

/// The one stored price list.
#[async_trait]
pub trait Prices: Send + Sync {
    /// When the stored list was fetched; `None` where there is none. Cheap: does not read the document.
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>>;

    /// The stored list; `None` where there is none.
    async fn prices(&self) -> Result<Option<StoredPrices>>;

    /// Stores a list in place of the one fetched at `replaces` (`None`: where there is none yet). `false` where
    /// another one is stored meanwhile; then nothing changes. Of concurrent calls that replace the same list exactly
    /// one stores.
    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool>;
}
