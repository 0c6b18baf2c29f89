//! A price list as it is kept: model groups with the version that published them, and the price books they make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::book::{DuplicateRow, Place, PriceBook};
use super::super::rates::RateCard;
use super::super::scope::{Geo, PriceScope};
use super::super::{Latency, PriceSource, ServiceTier};

/// How a call must be made for a row to charge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// In the region itself, and through a geographic profile where no row of its own says otherwise.
    Regional,
    /// Through a geographic profile.
    Geo,
    /// Through the global profile.
    Global,
}

/// What there is one price of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CardKey {
    pub(super) route: Route,
    pub(super) region: Box<str>,
    pub(super) tier: ServiceTier,
    pub(super) latency: Latency,
}

/// One rate card in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    /// How the call is made.
    pub route: Route,
    /// The region the call is made from.
    pub region: Box<str>,
    /// The prices.
    pub card: RateCard,
    /// When a publication that was fetched last had it.
    pub seen: Timestamp,
}

impl ListRow {
    pub(super) fn key(&self) -> CardKey {
        let RateCard { tier, latency, .. } = self.card;
        CardKey { route: self.route, region: self.region.clone(), tier, latency }
    }
}

/// All prices of one model. A group is replaced as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The publication it is from.
    pub version: Arc<str>,
    /// Its rows.
    pub rows: Vec<ListRow>,
}

/// A price list in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceList {
    /// The publication date of the newest publication in it.
    pub version: Arc<str>,
    /// Prices by model id. A group of an older version stayed because its newer prices were not believed.
    pub groups: BTreeMap<Box<str>, Group>,
    /// Models whose newest prices were not believed.
    pub quarantined: BTreeSet<Box<str>>,
}

/// Where a region-less call is priced.
const REFERENCE_REGION: &str = "us-east-1";

/// Geographic profiles that calls from a region can use.
fn geos(region: &str) -> &'static [&'static str] {
    const BY_PREFIX: [(&str, &[&str]); 13] = [
        ("us-gov-", &["us-gov"]),
        ("us-", &["us"]),
        ("ca-", &["us", "ca"]),
        ("eu-", &["eu"]),
        ("ap-northeast-1", &["apac", "jp"]),
        ("ap-northeast-3", &["apac", "jp"]),
        ("ap-southeast-2", &["apac", "au"]),
        ("ap-southeast-4", &["apac", "au"]),
        ("ap-southeast-6", &["apac", "au"]),
        ("ap-south-", &["apac", "in"]),
        ("ap-", &["apac"]),
        ("sa-", &["sa"]),
        ("", &[]),
    ];
    BY_PREFIX.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or(&[], |(_, geos)| geos)
}

fn geo_scopes(region: &str) -> impl Iterator<Item = PriceScope> {
    geos(region).iter().filter_map(|geo| Geo::parse(geo)).map(PriceScope::Geo)
}

impl PriceList {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.values().map(|group| group.rows.len()).sum()
    }

    /// Whether there is no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.values().all(|group| group.rows.is_empty())
    }

    /// Without rows that no publication has had since `seen_since`, and without groups left empty by that.
    #[must_use]
    pub fn without_stale(mut self, seen_since: Timestamp) -> Self {
        for group in self.groups.values_mut() {
            group.rows.retain(|row| row.seen >= seen_since);
        }
        self.groups.retain(|_, group| !group.rows.is_empty());
        self
    }

    /// The price books it makes: that of its own version first, with `source`; then one for every older version, as
    /// [`PriceSource::Cached`], so that every price is reported with the version that published it.
    ///
    /// # Errors
    /// [`DuplicateRow`] where two rows have one key.
    pub fn books(&self, source: PriceSource) -> Result<Vec<PriceBook>, DuplicateRow> {
        let mut newest = PriceBook::new(source, &self.version);
        let mut older: BTreeMap<&str, PriceBook> = BTreeMap::new();
        for (model, group) in &self.groups {
            let book = match group.version == self.version {
                true => &mut newest,
                false => {
                    older.entry(&group.version).or_insert_with(|| PriceBook::new(PriceSource::Cached, &group.version))
                }
            };
            fill(book, model, &group.rows)?;
        }
        Ok(std::iter::once(newest).chain(older.into_values().rev()).collect())
    }
}

/// Rows of one scope by region.
type Regions<'a> = BTreeMap<&'a str, Vec<&'a RateCard>>;

fn fill(book: &mut PriceBook, model: &str, rows: &[ListRow]) -> Result<(), DuplicateRow> {
    let mut scopes: BTreeMap<PriceScope, Regions<'_>> = BTreeMap::new();
    let explicit: BTreeSet<CardKey> = rows.iter().filter(|row| row.route == Route::Geo).map(ListRow::key).collect();
    for row in rows {
        let mut add = |scope| scopes.entry(scope).or_default().entry(&*row.region).or_default().push(&row.card);
        match row.route {
            Route::Global => add(PriceScope::Global),
            Route::Geo => geo_scopes(&row.region).for_each(add),
            Route::Regional => {
                add(PriceScope::InRegion);
                if !explicit.contains(&CardKey { route: Route::Geo, ..row.key() }) {
                    geo_scopes(&row.region).for_each(add);
                }
            }
        }
    }
    for (scope, regions) in scopes {
        let Some(general) = general(&regions) else { continue };
        // It speaks for the regions that pay it; for one that is not in the list another source may know better.
        let alike = regions.iter().filter(|(_, cards)| same(cards, &general)).map(|(region, _)| Box::from(*region));
        let alike: Arc<[Box<str>]> = alike.collect();
        for card in &general {
            book.insert_for_regions(model, scope, &alike, (*card).clone())?;
        }
        // A region that costs what everybody pays needs no rows: fewer rows, the same answers.
        for (region, cards) in regions.iter().filter(|(_, cards)| !same(cards, &general)) {
            for card in cards {
                book.insert(model, Place { scope, region: Some((*region).into()) }, (*card).clone())?;
            }
        }
    }
    Ok(())
}

/// What a call of unknown origin costs in a scope: what it costs in the reference region, else what it costs in most
/// regions, the first of them by name where several prices are equally common.
fn general<'a>(regions: &Regions<'a>) -> Option<Vec<&'a RateCard>> {
    if let Some(cards) = regions.get(REFERENCE_REGION) {
        return Some(cards.clone());
    }
    let alike = |cards: &Vec<&RateCard>| regions.values().filter(|other| same(cards, other)).count();
    let mut best: Option<(usize, &Vec<&'a RateCard>)> = None;
    for cards in regions.values() {
        let count = alike(cards);
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, cards));
        }
    }
    best.map(|(_, cards)| cards.clone())
}

/// The same cards, in any order.
fn same(a: &[&RateCard], b: &[&RateCard]) -> bool {
    a.len() == b.len() && a.iter().all(|card| b.contains(card))
}
