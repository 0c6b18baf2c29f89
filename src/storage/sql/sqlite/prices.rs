//! The stored price list.

use async_trait::async_trait;
use jiff::Timestamp;

use super::SqliteStorage;
use crate::storage::contract::{Prices, Result, StoredPrices};
use crate::storage::sql::columns::{instant, millis};
use crate::storage::sql::error::corrupt;

#[async_trait]
impl Prices for SqliteStorage {
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
        let fetched_at: Option<i64> =
            sqlx::query_scalar("SELECT fetched_at FROM price_cache WHERE id = 1").fetch_optional(&self.readers).await?;
        fetched_at.map(fetched).transpose()
    }

    async fn prices(&self) -> Result<Option<StoredPrices>> {
        let row: Option<(String, i64, String)> =
            sqlx::query_as("SELECT version, fetched_at, document FROM price_cache WHERE id = 1")
                .fetch_optional(&self.readers)
                .await?;
        row.map(|(version, fetched_at, document)| {
            Ok(StoredPrices { version, fetched_at: fetched(fetched_at)?, document })
        })
        .transpose()
    }

    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
        let sql = match replaces {
            None => {
                "INSERT INTO price_cache (id, version, fetched_at, document) VALUES (1, ?1, ?2, ?3) \
                 ON CONFLICT (id) DO NOTHING"
            }
            Some(_) => {
                "UPDATE price_cache SET version = ?1, fetched_at = ?2, document = ?3 WHERE id = 1 AND fetched_at = ?4"
            }
        };
        let query = sqlx::query(sql).bind(&prices.version).bind(millis(prices.fetched_at)).bind(&prices.document);
        let query = match replaces {
            None => query,
            Some(replaces) => query.bind(millis(replaces)),
        };
        let mut transaction = self.write().await?;
        let stored = query.execute(&mut *transaction).await?.rows_affected() > 0;
        transaction.commit().await?;
        Ok(stored)
    }
}

fn fetched(millis: i64) -> Result<Timestamp> {
    instant(millis).ok_or_else(|| corrupt("price_cache.fetched_at"))
}
