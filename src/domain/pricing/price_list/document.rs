//! A price list as the document a store keeps: our own rows in versioned JSON, not AWS's text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::rates::{MAX_PRICE, RateCard, Rates};
use super::super::{Latency, PriceSource, ServiceTier};
use super::list::{Group, ListRow, PriceList, Route};
use super::parse::is_region;

/// Form of the document this version writes, and the only one it reads: a cache is fetched again, not converted.
const SCHEMA: u32 = 1;

/// Why a stored document is not used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the expected JSON.
    #[error("the stored price list is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by another version.
    #[error("the stored price list has schema {0}, this version reads {SCHEMA}")]
    Schema(u32),
    /// A value no version of ours writes.
    #[error("the stored price list has a wrong row of {0}")]
    Row(String),
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    version: String,
    quarantined: BTreeSet<Box<str>>,
    models: BTreeMap<Box<str>, StoredGroup>,
}

/// Read first, so that another schema is told from nonsense.
#[derive(Deserialize)]
struct Header {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredGroup {
    version: String,
    rows: Vec<StoredRow>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    route: Route,
    region: Box<str>,
    tier: ServiceTier,
    latency: Latency,
    seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effective_from: Option<Timestamp>,
    base: Rates,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    above: Vec<(u64, Rates)>,
}

/// Writes the document.
///
/// # Errors
/// As `serde_json`, which can write every list.
pub fn to_document(list: &PriceList) -> Result<String, serde_json::Error> {
    let row = |row: &ListRow| StoredRow {
        route: row.route,
        region: row.region.clone(),
        tier: row.card.tier,
        latency: row.card.latency,
        seen: row.seen,
        effective_from: row.card.effective_from,
        base: row.card.base,
        above: row.card.above.clone(),
    };
    let models = list.groups.iter().map(|(model, group)| {
        let rows = group.rows.iter().map(row).collect();
        (model.clone(), StoredGroup { version: group.version.to_string(), rows })
    });
    serde_json::to_string(&Document {
        schema: SCHEMA,
        version: list.version.to_string(),
        quarantined: list.quarantined.clone(),
        models: models.collect(),
    })
}

/// Reads a document, checking every value: a store may have been edited or written by another version.
///
/// # Errors
/// [`DocumentError`]; then the document is worth nothing.
pub fn from_document(text: &str) -> Result<PriceList, DocumentError> {
    let Header { schema } = serde_json::from_str(text)?;
    if schema != SCHEMA {
        return Err(DocumentError::Schema(schema));
    }
    let document: Document = serde_json::from_str(text)?;
    let mut groups = BTreeMap::new();
    for (model, group) in document.models {
        let rows: Option<Vec<ListRow>> = group.rows.into_iter().map(read_row).collect();
        let rows = rows.ok_or_else(|| DocumentError::Row(model.to_string()))?;
        groups.insert(model, Group { version: group.version.into(), rows });
    }
    let list = PriceList { version: Arc::from(document.version), groups, quarantined: document.quarantined };
    // Finds two rows with one key.
    list.books(PriceSource::Cached).map_err(|duplicate| DocumentError::Row(duplicate.model))?;
    Ok(list)
}

fn read_row(row: StoredRow) -> Option<ListRow> {
    let StoredRow { route, region, tier, latency, seen, effective_from, base, above } = row;
    let ascending = above.iter().zip(above.iter().skip(1)).all(|((a, _), (b, _))| a < b);
    let believable = |rates: &Rates| {
        let Rates { input, output, cache_read, cache_write_5m, cache_write_1h } = *rates;
        let prices = [input, output, cache_read, cache_write_5m, cache_write_1h];
        input.is_some() && output.is_some() && prices.into_iter().flatten().all(|price| price <= MAX_PRICE)
    };
    let valid =
        is_region(&region) && ascending && std::iter::once(&base).chain(above.iter().map(|(_, r)| r)).all(believable);
    let card = RateCard { tier, latency, effective_from, base, above, units: Vec::new() };
    valid.then_some(ListRow { route, region, card, seen })
}
