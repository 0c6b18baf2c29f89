//! Price rows of one source, and how a call finds its row among them.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::model_id::ModelRef;
use super::rates::RateCard;
use super::scope::PriceScope;
use super::{Latency, PriceSource, ServiceTier};

/// Where a price applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Scope of the call.
    pub scope: PriceScope,
    /// The caller's region; `None` applies in every region without a price of its own.
    pub region: Option<Box<str>>,
}

#[derive(Debug, Clone)]
struct Row {
    place: Place,
    card: RateCard,
    /// Of a row without a region: the only regions it is known to hold in, `None` where it holds everywhere. A call
    /// from another region finds nothing here; one of unknown origin does.
    only_in: Option<Arc<[Box<str>]>>,
}

impl Row {
    fn covers(&self, caller: Option<&str>) -> bool {
        let Some((only_in, caller)) = self.only_in.as_deref().zip(caller) else { return true };
        only_in.iter().any(|region| **region == *caller)
    }
}

/// What had to stand in for what was asked for. Any of it makes a price an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StandIns {
    /// The in-region price for a geographic or global call.
    pub scope: bool,
    /// The standard tier's price for another tier.
    pub tier: bool,
    /// The standard latency's price for optimized latency.
    pub latency: bool,
}

impl StandIns {
    /// Whether anything stood in.
    #[must_use]
    pub fn any(self) -> bool {
        self.scope || self.tier || self.latency
    }
}

/// The row a call is priced by.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Where the row applies.
    pub place: &'a Place,
    /// Its prices.
    pub card: &'a RateCard,
    /// What had to stand in.
    pub stand_ins: StandIns,
}

/// What decides which row prices a call.
#[derive(Debug, Clone, Copy)]
pub struct RowQuery<'a> {
    /// The model, taken apart.
    pub model: ModelRef<'a>,
    /// The caller's region, where known; beats the region an ARN names, because calls are billed where they are made.
    pub region: Option<&'a str>,
    /// Processing tier.
    pub tier: ServiceTier,
    /// Latency profile.
    pub latency: Latency,
    /// When the submission is priced.
    pub at: Timestamp,
}

/// All prices of one source.
#[derive(Debug, Clone)]
pub struct PriceBook {
    source: PriceSource,
    version: Arc<str>,
    models: HashMap<Box<str>, Vec<Row>>,
}

/// Two rows with one key: a source that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two prices for {model} at {place}", place = place_text(.place))]
pub struct DuplicateRow {
    /// The model.
    pub model: String,
    /// Where.
    pub place: Place,
}

/// A place for people.
#[must_use]
pub fn place_text(place: &Place) -> String {
    match &place.region {
        Some(region) => format!("{} in {region}", place.scope),
        None => place.scope.to_string(),
    }
}

impl PriceBook {
    /// An empty book.
    #[must_use]
    pub fn new(source: PriceSource, version: &str) -> Self {
        Self { source, version: version.into(), models: HashMap::new() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`DuplicateRow`] where one with the same place, tier, latency and effective date is there; nothing is added.
    pub fn insert(&mut self, model: &str, place: Place, card: RateCard) -> Result<(), DuplicateRow> {
        self.add(model, Row { place, card, only_in: None })
    }

    /// Adds a row for calls from any of some regions, and for calls of unknown origin.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_for_regions(
        &mut self,
        model: &str,
        scope: PriceScope,
        regions: &Arc<[Box<str>]>,
        card: RateCard,
    ) -> Result<(), DuplicateRow> {
        let place = Place { scope, region: None };
        self.add(model, Row { place, card, only_in: Some(Arc::clone(regions)) })
    }

    fn add(&mut self, model: &str, new: Row) -> Result<(), DuplicateRow> {
        let Row { place, card, .. } = &new;
        let rows = self.models.entry(model.into()).or_default();
        let same = |row: &Row| {
            row.place == *place
                && (row.card.tier, row.card.latency, row.card.effective_from)
                    == (card.tier, card.latency, card.effective_from)
        };
        if rows.iter().any(same) {
            return Err(DuplicateRow { model: model.to_owned(), place: new.place });
        }
        rows.push(new);
        Ok(())
    }

    /// Where these prices come from.
    #[must_use]
    pub fn source(&self) -> PriceSource {
        self.source
    }

    /// Version of the source.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.values().map(Vec::len).sum()
    }

    /// Whether there is no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Every row, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Place, &RateCard)> {
        self.models.iter().flat_map(|(model, rows)| rows.iter().map(move |row| (&**model, &row.place, &row.card)))
    }

    /// The row that prices a call. Exact scope in the caller's region, else the scope's general row, else the
    /// in-region price of the caller's region: never another region's, and never another scope's without saying so.
    #[must_use]
    pub fn find(&self, query: &RowQuery<'_>) -> Option<Found<'_>> {
        let rows = self.models.get(query.model.model)?;
        let region = query.region.or(query.model.region);
        let own = [(query.model.scope, region), (query.model.scope, None)];
        let stand_in = [(PriceScope::InRegion, region), (PriceScope::InRegion, None)];
        let places = own.into_iter().chain(stand_in);
        places.enumerate().find_map(|(index, (scope, region))| {
            let (row, mut stand_ins) = best(rows, scope, region, query)?;
            stand_ins.scope = index >= own.len() && query.model.scope != PriceScope::InRegion;
            Some(Found { place: &row.place, card: &row.card, stand_ins })
        })
    }
}

/// Among the rows of one place: the tier and latency asked for, else the standard ones; of these the latest in force.
fn best<'a>(
    rows: &'a [Row],
    scope: PriceScope,
    region: Option<&str>,
    query: &RowQuery<'_>,
) -> Option<(&'a Row, StandIns)> {
    let caller = query.region.or(query.model.region);
    let choices = [
        (query.tier, query.latency),
        (query.tier, Latency::Standard),
        (ServiceTier::Default, query.latency),
        (ServiceTier::Default, Latency::Standard),
    ];
    choices.into_iter().find_map(|(tier, latency)| {
        let row = rows
            .iter()
            .filter(|row| row.place.scope == scope && row.place.region.as_deref() == region && row.covers(caller))
            .filter(|row| row.card.tier == tier && row.card.latency == latency && row.card.in_force(query.at))
            .max_by_key(|row| row.card.effective_from)?;
        let stand_ins = StandIns { scope: false, tier: tier != query.tier, latency: latency != query.latency };
        Some((row, stand_ins))
    })
}

#[cfg(test)]
mod tests {
    use super::super::rates::Rates;
    use super::*;

    fn place(scope: &str, region: Option<&str>) -> Place {
        Place { scope: PriceScope::parse(scope).unwrap(), region: region.map(Into::into) }
    }

    fn card(input: u64) -> RateCard {
        RateCard { base: Rates { input: Some(input), output: Some(0), ..Rates::default() }, ..RateCard::default() }
    }

    fn find(
        book: &PriceBook,
        id: &str,
        region: Option<&str>,
        tier: ServiceTier,
        latency: Latency,
        at: i64,
    ) -> Option<(u64, StandIns)> {
        let query = RowQuery {
            model: ModelRef::parse(id).unwrap(),
            region,
            tier,
            latency,
            at: Timestamp::from_second(at).unwrap(),
        };
        book.find(&query).map(|found| (found.card.base.input.unwrap(), found.stand_ins))
    }

    fn plain(book: &PriceBook, id: &str, region: Option<&str>) -> Option<(u64, bool)> {
        find(book, id, region, ServiceTier::Default, Latency::Standard, 0)
            .map(|(price, stand_ins)| (price, stand_ins.any()))
    }

    fn book() -> PriceBook {
        let mut book = PriceBook::new(PriceSource::Embedded, "test");
        for (scope, region, price) in [
            ("in_region", None, 1),
            ("in_region", Some("eu-south-1"), 2),
            ("geo:eu", None, 3),
            ("geo:eu", Some("eu-south-2"), 4),
        ] {
            book.insert("a.m", place(scope, region), card(price)).unwrap();
        }
        book
    }

    #[test]
    fn the_callers_region_decides_within_a_scope_and_a_missing_scope_is_said() {
        let book = book();
        assert_eq!(plain(&book, "a.m", None), Some((1, false)));
        assert_eq!(plain(&book, "a.m", Some("us-east-1")), Some((1, false)));
        assert_eq!(plain(&book, "a.m", Some("eu-south-1")), Some((2, false)));
        assert_eq!(plain(&book, "eu.a.m", Some("eu-south-1")), Some((3, false)));
        assert_eq!(plain(&book, "eu.a.m", Some("eu-south-2")), Some((4, false)));
        assert_eq!(plain(&book, "global.a.m", Some("eu-south-1")), Some((2, true)));
        assert_eq!(plain(&book, "us.a.m", None), Some((1, true)));
        assert_eq!(plain(&book, "a.other", None), None);
        let arn = "arn:aws:bedrock:eu-south-1::foundation-model/a.m";
        assert_eq!(plain(&book, arn, None), Some((2, false)));
        assert_eq!(plain(&book, arn, Some("us-east-1")), Some((1, false)), "billed where the call is made");
    }

    #[test]
    fn a_missing_tier_or_latency_is_priced_as_standard_and_said() {
        let mut book = book();
        let flex = RateCard { tier: ServiceTier::Flex, ..card(9) };
        book.insert("a.m", place("in_region", None), flex).unwrap();
        let at = |tier, latency| find(&book, "a.m", None, tier, latency, 0).unwrap();
        assert_eq!(at(ServiceTier::Flex, Latency::Standard), (9, StandIns::default()));
        assert_eq!(at(ServiceTier::Flex, Latency::Optimized), (9, StandIns { latency: true, ..StandIns::default() }));
        assert_eq!(at(ServiceTier::Batch, Latency::Standard), (1, StandIns { tier: true, ..StandIns::default() }));
    }

    #[test]
    fn the_latest_price_in_force_counts() {
        let mut book = PriceBook::new(PriceSource::PricingApi, "test");
        for (from, price) in [(None, 1), (Some(100), 2), (Some(200), 3)] {
            let effective_from = from.map(|second| Timestamp::from_second(second).unwrap());
            book.insert("a.m", place("in_region", None), RateCard { effective_from, ..card(price) }).unwrap();
        }
        for (at, price) in [(99, 1), (100, 2), (199, 2), (200, 3)] {
            assert_eq!(find(&book, "a.m", None, ServiceTier::Default, Latency::Standard, at).unwrap().0, price);
        }
    }

    #[test]
    fn a_price_of_some_regions_is_not_taken_for_anothers() {
        let mut book = PriceBook::new(PriceSource::PricingApi, "test");
        let regions: Arc<[Box<str>]> = ["us-east-1".into(), "eu-west-1".into()].into();
        book.insert_for_regions("a.m", PriceScope::InRegion, &regions, card(1)).unwrap();
        book.insert("a.m", place("in_region", Some("eu-south-1")), card(2)).unwrap();
        assert_eq!(plain(&book, "a.m", Some("eu-west-1")), Some((1, false)));
        assert_eq!(plain(&book, "a.m", Some("eu-south-1")), Some((2, false)));
        assert_eq!(plain(&book, "a.m", None), Some((1, false)), "of unknown origin");
        assert_eq!(plain(&book, "a.m", Some("eu-south-2")), None, "nobody published it there");
    }

    #[test]
    fn a_second_row_with_the_same_key_is_refused() {
        let mut book = book();
        assert!(book.insert("a.m", place("in_region", None), card(5)).is_err());
        assert_eq!(plain(&book, "a.m", None), Some((1, false)));
    }
}
