//! The price-list string of one product, as AWS writes it. Only what a price depends on is read; the rest is ignored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// A product and its prices.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) product: Product,
    #[serde(default)]
    pub(super) terms: Terms,
    #[serde(rename = "publicationDate", default)]
    pub(super) publication_date: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Product {
    #[serde(default)]
    pub(super) attributes: Attributes,
}

/// Absent, null and empty mean the same.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    pub(super) usagetype: Option<String>,
    #[serde(rename = "regionCode")]
    pub(super) region_code: Option<String>,
    pub(super) servicename: Option<String>,
    pub(super) model: Option<String>,
    #[serde(rename = "titanModel")]
    pub(super) titan_model: Option<String>,
    #[serde(rename = "inferenceType")]
    pub(super) inference_type: Option<String>,
    #[serde(rename = "tokenType")]
    pub(super) token_type: Option<String>,
    pub(super) feature: Option<String>,
    pub(super) service_tier: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Terms {
    #[serde(rename = "OnDemand")]
    pub(super) on_demand: BTreeMap<String, Term>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Term {
    #[serde(rename = "effectiveDate", default)]
    effective_date: Option<String>,
    #[serde(rename = "priceDimensions", default)]
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Debug, Deserialize)]
struct Dimension {
    #[serde(default)]
    unit: String,
    #[serde(rename = "pricePerUnit", default)]
    price_per_unit: BTreeMap<String, String>,
    #[serde(rename = "beginRange", default)]
    begin_range: Option<String>,
}

/// A price of a product as it stands in the text.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    pub(super) unit: &'a str,
    pub(super) dollars: &'a str,
    pub(super) effective_from: Option<Timestamp>,
}

impl Item {
    /// The list prices in force at `now`, or announced where none is in force yet: those from the first unit on.
    /// `beginRange` counts purchased units, not tokens of a prompt; a volume discount is no list price.
    pub(super) fn offers(&self, now: Timestamp) -> impl Iterator<Item = Offer<'_>> {
        let dates = || self.terms.on_demand.values().map(Term::effective_from);
        let in_force = dates().filter(|date| date.is_none_or(|date| date <= now)).max();
        let date = in_force.or_else(|| dates().min()).flatten();
        self.terms.on_demand.values().filter(move |term| term.effective_from() == date).flat_map(move |term| {
            term.price_dimensions
                .values()
                .filter(|dimension| dimension.begin_range.as_deref().is_none_or(is_zero))
                .filter_map(move |dimension| {
                    let dollars = dimension.price_per_unit.get("USD")?;
                    Some(Offer { unit: &dimension.unit, dollars, effective_from: date })
                })
        })
    }
}

impl Term {
    fn effective_from(&self) -> Option<Timestamp> {
        self.effective_date.as_deref()?.parse().ok()
    }
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}
