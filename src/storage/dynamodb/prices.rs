//! The stored price list. It is larger than an item, so it is kept in parts.
//!
//! Parts are written first, under a name of their own; then the head is swapped, which puts them in force. A set of
//! parts is announced before it is written, so that whoever wins finds what a crash left behind.

use async_trait::async_trait;
use aws_lc_rs::digest;
use jiff::Timestamp;

use super::attributes::{Item, b, blob, corrupt, instant_of, item, ms, n, number, s, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{self, PRICE_SET_PREFIX};
use super::tables::Table;
use super::writes::{Commit, Step};
use crate::storage::contract::{Prices, Result, StoredPrices};
use crate::storage::error::StorageError;

/// Bytes of one part. An item has at most 400 KB, its key and attribute names included.
const PART_BYTES: usize = 350 * 1024;
/// Rounds of reading a list that is replaced meanwhile. Lists are replaced daily.
const MAX_ROUNDS: u32 = 3;

#[async_trait]
impl Prices for DynamoDbStorage {
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
        let head = self.get(&keys::price_head(), true).await?;
        head.map(|head| instant_of(&head, "config.fetched")).transpose()
    }

    async fn prices(&self) -> Result<Option<StoredPrices>> {
        for _ in 0..MAX_ROUNDS {
            let Some(head) = self.get(&keys::price_head(), true).await? else { return Ok(None) };
            if let Some(document) = self.document(&head).await? {
                return Ok(Some(StoredPrices {
                    version: text(&head, "config.version")?.to_owned(),
                    fetched_at: instant_of(&head, "config.fetched")?,
                    document,
                }));
            }
        }
        // Parts in force are never deleted.
        Err(corrupt("config.part"))
    }

    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
        let set = set_name(prices);
        let parts: Vec<&[u8]> = prices.document.as_bytes().chunks(PART_BYTES).collect();
        self.write_one(self.put(&keys::price_set(&set), item([("parts", n(parts.len()))])).step()?).await?;
        for (number, part) in parts.iter().enumerate() {
            self.write_one(self.put(&keys::price_part(&set, number), item([("part", b(*part))])).step()?).await?;
        }
        let head = item([
            ("version", s(prices.version.as_str())),
            ("fetched", ms(prices.fetched_at)),
            ("parts", n(parts.len())),
            ("parts_of", s(set.as_str())),
        ]);
        let swap = self.put(&keys::price_head(), head);
        let swap = match replaces {
            None => swap.condition_expression("attribute_not_exists(pk)"),
            Some(replaces) => {
                swap.condition_expression("fetched = :replaces").expression_attribute_values(":replaces", ms(replaces))
            }
        };
        match self.commit(vec![swap.step()?]).await? {
            Commit::Done => {
                self.forget_sets_up_to(&set, replaces).await?;
                Ok(true)
            }
            Commit::Refused(refusals) => {
                // Another instance may have put the very same list in force.
                let in_force = refusals.item(0).map(|head| text(head, "config.parts_of")).transpose()?;
                if in_force != Some(set.as_str()) {
                    self.forget_set(&set).await?;
                }
                Ok(false)
            }
        }
    }
}

impl DynamoDbStorage {
    /// The document a head names; `None` where it is not complete.
    async fn document(&self, head: &Item) -> Result<Option<String>> {
        let set = text(head, "config.parts_of")?;
        let count: usize = number(head, "config.parts")?;
        let range = Range { consistent: true, ..Range::default() };
        let parts = self.query(Table::Config, &keys::price_partition(set), &range).await?;
        if parts.len() != count {
            return Ok(None);
        }
        let mut document = Vec::new();
        for part in &parts {
            document.extend_from_slice(blob(part, "config.part")?);
        }
        String::from_utf8(document).map(Some).map_err(|_| corrupt("config.part"))
    }

    /// Deletes the set that was replaced, and older ones that a crash left behind. Younger ones may be about to replace
    /// the one in force.
    async fn forget_sets_up_to(&self, in_force: &str, replaced: Option<Timestamp>) -> Result<()> {
        let Some(replaced) = replaced else { return Ok(()) };
        let range = Range { prefix: Some(PRICE_SET_PREFIX), consistent: true, ..Range::default() };
        for entry in self.query(Table::Config, keys::PRICES, &range).await? {
            let set = text(&entry, "config.sk")?.strip_prefix(PRICE_SET_PREFIX).unwrap_or_default();
            if set != in_force && fetched_of(set)? <= replaced.as_millisecond() {
                self.forget_set(set).await?;
            }
        }
        Ok(())
    }

    /// Deletes a set: the parts first, so that an interruption leaves the announcement.
    async fn forget_set(&self, set: &str) -> Result<()> {
        let announcement = keys::price_set(set);
        let Some(entry) = self.get(&announcement, true).await? else { return Ok(()) };
        let count: usize = number(&entry, "config.parts")?;
        let parts: Vec<_> = (0..count).map(|number| keys::price_part(set, number)).collect();
        self.batch_delete(Table::Config, &parts).await?;
        self.batch_delete(Table::Config, &[announcement]).await
    }
}

/// A name that no other list has: when it was fetched, and a hash of what it says.
fn set_name(prices: &StoredPrices) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(prices.version.as_bytes());
    hash.update(&[0]);
    hash.update(prices.document.as_bytes());
    format!("{}-{}", prices.fetched_at.as_millisecond(), keys::hex(hash.finish().as_ref()))
}

/// When the list of a set was fetched, in milliseconds since 1970.
fn fetched_of(set: &str) -> Result<i64> {
    let millis = set.rsplit_once('-').and_then(|(millis, _)| millis.parse().ok());
    millis.ok_or_else(|| StorageError::Corrupt("config.sk".to_owned()))
}
