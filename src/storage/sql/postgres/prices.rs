//! The stored price list.

use async_trait::async_trait;
use jiff::Timestamp;

use super::PostgresStorage;
use super::attempts::Repeat;
use crate::storage::contract::{Prices, Result, StoredPrices};
use crate::storage::sql::columns::{instant, millis};
use crate::storage::sql::error::corrupt;

#[async_trait]
impl Prices for PostgresStorage {
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
        let fetched_at: Option<i64> = self
            .statement(|mut session| async move {
                let query = session.query_scalar("SELECT fetched_at FROM price_cache WHERE id = 1");
                let fetched_at = query.fetch_optional(&mut *session).await?;
                session.commit(fetched_at).await
            })
            .await?;
        fetched_at.map(fetched).transpose()
    }

    async fn prices(&self) -> Result<Option<StoredPrices>> {
        let row: Option<(String, i64, String)> = self
            .statement(|mut session| async move {
                let query =
                    session.query_as("SELECT version, fetched_at, document::text FROM price_cache WHERE id = 1");
                let row = query.fetch_optional(&mut *session).await?;
                session.commit(row).await
            })
            .await?;
        row.map(|(version, fetched_at, document)| {
            Ok(StoredPrices { version, fetched_at: fetched(fetched_at)?, document })
        })
        .transpose()
    }

    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
        let sql = match replaces {
            None => {
                "INSERT INTO price_cache (id, version, fetched_at, document) VALUES (1, $1, $2, $3::text::json) \
                 ON CONFLICT (id) DO NOTHING"
            }
            Some(_) => {
                "UPDATE price_cache SET version = $1, fetched_at = $2, document = $3::text::json \
                 WHERE id = 1 AND fetched_at = $4"
            }
        };
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let query = session.query(sql).bind(&prices.version).bind(millis(prices.fetched_at)).bind(&prices.document);
            let query = match replaces {
                None => query,
                Some(replaces) => query.bind(millis(replaces)),
            };
            let stored = query.execute(&mut *session).await?.rows_affected() > 0;
            session.commit(stored).await
        })
        .await
    }
}

fn fetched(millis: i64) -> Result<Timestamp> {
    instant(millis).ok_or_else(|| corrupt("price_cache.fetched_at"))
}
