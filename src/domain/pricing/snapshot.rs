//! The price snapshot compiled into the binary, so that a first start without AWS knows real prices.

use std::collections::HashMap;

use serde::Deserialize;

use super::book::PriceBook;
use super::model_id::PriceScope;
use super::rates::{MAX_PRICE, PriceRow, Rates, TierRates};
use super::{PriceSource, ServiceTier};

/// Why a snapshot is refused. It is refused whole: half a price list is worse than an old one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not the expected JSON.
    #[error("price snapshot is not valid: {0}")]
    Malformed(String),
    /// A row contradicts itself or another one.
    #[error("price snapshot row {row}: {reason}")]
    Row {
        /// `source_key` of the row.
        row: String,
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
struct Snapshot {
    schema_version: u32,
    source: Provenance,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
struct Provenance {
    retrieved: String,
}

#[derive(Deserialize)]
struct Row {
    model: String,
    api: String,
    scope: String,
    region: Option<String>,
    geo: Option<String>,
    tiers: HashMap<String, Dimensions>,
    #[serde(default)]
    above: Vec<Above>,
    source_key: String,
}

#[derive(Deserialize)]
struct Above {
    prompt_tokens_gt: u64,
    rates: Dimensions,
}

/// Dimensions that are priced per token. Others (images, seconds, queries) are not charged by token counts.
#[derive(Deserialize)]
struct Dimensions {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
}

impl Dimensions {
    fn rates(&self) -> Option<Rates> {
        let all = [self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h];
        all.iter().flatten().all(|price| *price <= MAX_PRICE).then_some(Rates {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
        })
    }
}

/// The embedded snapshot as a price book.
///
/// # Errors
/// Never for the file that is compiled in: a test loads it. The error exists because a start must not panic.
pub fn embedded() -> Result<PriceBook, SnapshotError> {
    parse(include_str!("snapshot.json"))
}

fn parse(text: &str) -> Result<PriceBook, SnapshotError> {
    let snapshot: Snapshot = serde_json::from_str(text).map_err(|e| SnapshotError::Malformed(e.to_string()))?;
    if snapshot.schema_version != 1 {
        return Err(SnapshotError::Malformed(format!("schema version {} is unknown", snapshot.schema_version)));
    }
    let mut book = PriceBook::new(PriceSource::Embedded, snapshot.source.retrieved);
    for row in snapshot.prices {
        // Prices of the OpenAI-compatible endpoint (`mantle`) differ; calls reported here go through the runtime.
        if row.api != "runtime" {
            continue;
        }
        let refuse = |reason| SnapshotError::Row { row: row.source_key.clone(), reason };
        let scope = match (row.scope.as_str(), &row.region, &row.geo) {
            ("default", None, None) => PriceScope::Default,
            ("region", Some(region), None) => PriceScope::Region(region.clone()),
            ("geo", None, Some(geo)) => PriceScope::Geo(geo.clone()),
            ("global", None, None) => PriceScope::Global,
            _ => return Err(refuse("scope, region and geo do not fit together")),
        };
        let prices = price_row(&row).map_err(refuse)?;
        if !book.insert(row.model.clone(), scope, prices) {
            return Err(refuse("a second row for the same model and scope"));
        }
    }
    Ok(book)
}

fn price_row(row: &Row) -> Result<PriceRow, &'static str> {
    let mut prices = PriceRow::default();
    for (name, dimensions) in &row.tiers {
        let tier = match name.as_str() {
            "standard" => ServiceTier::Default,
            "priority" => ServiceTier::Priority,
            "flex" => ServiceTier::Flex,
            "batch" => ServiceTier::Batch,
            _ => return Err("unknown tier"),
        };
        prices.tiers.push(TierRates { tier, rates: dimensions.rates().ok_or("a price is too large")? });
    }
    prices.tiers.sort_by_key(|t| t.tier);
    for above in &row.above {
        prices.above.push((above.prompt_tokens_gt, above.rates.rates().ok_or("a price is too large")?));
    }
    prices.above.sort_by_key(|(limit, _)| *limit);
    Ok(prices)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_embedded_snapshot_loads_whole() {
        assert!(embedded().unwrap().len() > 400);
    }

    #[test]
    fn a_snapshot_with_a_duplicate_or_impossible_row_is_refused_whole() {
        let row = r#"{"model":"m","api":"runtime","scope":"default","tiers":{"standard":{"input":1}},"source_key":"k"}"#;
        let with = |rows: &str| format!(r#"{{"schema_version":1,"source":{{"retrieved":"d"}},"prices":[{rows}]}}"#);
        assert!(parse(&with(row)).is_ok());
        assert!(parse(&with(&format!("{row},{row}"))).is_err());
        assert!(parse(&with(&row.replace("default", "geo"))).is_err());
        assert!(parse(&with(&row.replace("\"input\":1", "\"input\":2000000000000"))).is_err());
        assert!(parse("{").is_err());
    }
}
