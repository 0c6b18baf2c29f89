//! A usage record as an item, and back.
//!
//! Names are short and what is zero is left out: DynamoDB bills every begun kilobyte of an item, names included, and a
//! usual record takes less than half of one.

use jiff::Timestamp;

use super::attributes::{
    Item, b, bytes, corrupt, epoch_secs, flag, instant_of, is_set, item, ms, n, number, optional_number, optional_text,
    parsed, s, text,
};
use super::keys::{EXPIRES, PK};
use super::ledger_keys::usage_parts;
use crate::domain::money::PicoUsd;
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{Figures, RecordPricing, UsageRecord};
use crate::storage::codes;
use crate::storage::contract::Result;

/// A record with what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredRecord {
    pub(super) record: UsageRecord,
    /// The shard its usage was counted in.
    pub(super) shard: u8,
    /// How often it was corrected.
    pub(super) revision: u64,
    /// When it is gone, in seconds since 1970.
    pub(super) expires: i64,
}

/// The item of a new record without its key.
pub(super) fn usage_item(record: &UsageRecord, shard: u8, expires: Timestamp) -> Item {
    let mut item = item([
        ("fp", b(record.fingerprint)),
        ("lb", s(record.model_label.as_str())),
        ("dy", s(record.day.to_string())),
        ("ts", ms(record.timestamp)),
        ("rc", ms(record.recorded_at)),
        ("st", s(codes::status_text(record.status))),
        ("cs", s(codes::cost_source_text(record.cost_source))),
        ("tier", s(codes::service_tier_text(record.service_tier))),
        ("lat", s(codes::latency_text(record.latency))),
        ("sh", n(record.shard_id)),
        ("ct", n(shard)),
        (EXPIRES, n(epoch_secs(expires))),
    ]);
    let tokens = &record.tokens;
    for (name, value) in [
        ("ti", tokens.input),
        ("to", tokens.output),
        ("tr", tokens.cache_read),
        ("tw", tokens.cache_write),
        ("t1", tokens.cache_write_1h),
    ] {
        if value > 0 {
            item.insert(name.to_owned(), n(value));
        }
    }
    if record.cache_ttl_assumed {
        item.insert("ta".to_owned(), flag(true));
    }
    if let Some(region) = &record.calling_region {
        item.insert("rg".to_owned(), s(region.as_str()));
    }
    item.extend(figures_item(&record.figures()));
    item
}

/// The attributes that a correction replaces. Those of [`FIGURES`] that are missing here are to be removed.
pub(super) fn figures_item(figures: &Figures) -> Item {
    let mut item = item([
        ("co", n(figures.cost.get())),
        ("ps", s(codes::pricing_status_text(figures.pricing.status))),
        ("md", s(figures.pricing.model_id.as_str())),
    ]);
    if let Some(cost) = figures.server_cost {
        item.insert("sc".to_owned(), n(cost.get()));
    }
    if let Some(source) = figures.pricing.source {
        item.insert("sr".to_owned(), s(codes::price_source_text(source)));
    }
    if let Some(version) = &figures.pricing.version {
        item.insert("vr".to_owned(), s(version.as_str()));
    }
    item
}

/// Every attribute a correction may replace or remove.
pub(super) const FIGURES: [&str; 6] = ["co", "ps", "md", "sc", "sr", "vr"];

/// Reads the item of a record.
pub(super) fn stored_record(item: &Item) -> Result<StoredRecord> {
    let key = usage_parts(text(item, PK)?)?;
    let code = |name: &str| text(item, name);
    let tokens = |name: &str| -> Result<u64> { Ok(optional_number(item, name)?.unwrap_or(0)) };
    let source = match optional_text(item, "usage.sr")? {
        None => None,
        Some(text) => Some(codes::price_source_of(text).ok_or_else(|| corrupt("usage.sr"))?),
    };
    let record = UsageRecord {
        org_id: key.org_id,
        app_id: key.app_id,
        request_id: key.request_id,
        fingerprint: bytes(item, "usage.fp")?,
        model_label: parsed(item, "usage.lb")?,
        day: parsed(item, "usage.dy")?,
        timestamp: instant_of(item, "usage.ts")?,
        recorded_at: instant_of(item, "usage.rc")?,
        status: codes::status_of(code("usage.st")?).ok_or_else(|| corrupt("usage.st"))?,
        cost_source: codes::cost_source_of(code("usage.cs")?).ok_or_else(|| corrupt("usage.cs"))?,
        cost: PicoUsd::new(number(item, "usage.co")?),
        server_cost: optional_number(item, "usage.sc")?.map(PicoUsd::new),
        tokens: TokenCounts {
            input: tokens("usage.ti")?,
            output: tokens("usage.to")?,
            cache_read: tokens("usage.tr")?,
            cache_write: tokens("usage.tw")?,
            cache_write_1h: tokens("usage.t1")?,
        },
        cache_ttl_assumed: is_set(item, "usage.ta"),
        pricing: RecordPricing {
            status: codes::pricing_status_of(code("usage.ps")?).ok_or_else(|| corrupt("usage.ps"))?,
            source,
            version: optional_text(item, "usage.vr")?.map(str::to_owned),
            model_id: text(item, "usage.md")?.to_owned(),
        },
        calling_region: optional_text(item, "usage.rg")?.map(str::to_owned),
        service_tier: codes::service_tier_of(code("usage.tier")?).ok_or_else(|| corrupt("usage.tier"))?,
        latency: codes::latency_of(code("usage.lat")?).ok_or_else(|| corrupt("usage.lat"))?,
        shard_id: number(item, "usage.sh")?,
    };
    Ok(StoredRecord {
        record,
        shard: number(item, "usage.ct")?,
        revision: optional_number(item, "usage.rv")?.unwrap_or(0),
        expires: number(item, "usage.expires")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::ledger_keys;
    use super::super::samples::usage;
    use super::*;
    use crate::domain::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
    use crate::domain::usage::{CallStatus, CostSource};
    use crate::storage::error::StorageError;

    fn stored(record: &UsageRecord) -> Item {
        let mut item = usage_item(record, 5, record.recorded_at);
        item.extend(ledger_keys::usage(&record.key()).attributes());
        item
    }

    #[test]
    fn every_field_survives_and_what_is_absent_stays_absent() {
        let full = UsageRecord {
            status: CallStatus::Error,
            cost_source: CostSource::Client,
            cost: PicoUsd::new(9_223_372_036_854_775_807_999_999),
            server_cost: Some(PicoUsd::ZERO),
            cache_ttl_assumed: true,
            pricing: RecordPricing {
                status: PricingStatus::Estimated,
                source: Some(PriceSource::PricingApi),
                version: Some("v \"2\" 'ü'".to_owned()),
                model_id: "m".to_owned(),
            },
            calling_region: Some("eu-central-1".to_owned()),
            service_tier: ServiceTier::Flex,
            latency: Latency::Optimized,
            shard_id: 255,
            ..usage(1)
        };
        let bare = UsageRecord {
            cost: PicoUsd::ZERO,
            server_cost: None,
            tokens: TokenCounts::default(),
            pricing: RecordPricing {
                status: PricingStatus::Unpriced,
                source: None,
                version: None,
                model_id: String::new(),
            },
            ..usage(2)
        };
        for record in [full, bare] {
            let read = stored_record(&stored(&record)).unwrap();
            assert_eq!((read.shard, read.revision), (5, 0));
            assert_eq!(read.record, record);
        }
    }

    #[test]
    fn what_no_writer_of_ours_left_is_named_and_never_quoted() {
        for name in ["fp", "lb", "dy", "rc", "st", "co", "ps", "tier", "ct", "pk"] {
            let mut item = stored(&usage(1));
            item.insert(name.to_owned(), s("Hunter 2"));
            let error = stored_record(&item).unwrap_err();
            assert!(
                matches!(&error, StorageError::Corrupt(text) if text.as_str() == format!("usage.{name}")),
                "{error}"
            );
        }
    }
}
