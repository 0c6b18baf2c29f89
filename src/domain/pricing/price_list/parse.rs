//! All products of a publication as model groups, and what of it was left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::super::book::PriceBook;
use super::super::rates::{RateCard, Rates};
use super::super::{Latency, ServiceTier};
use super::decimal::per_token;
use super::list::{CardKey, ListRow};
use super::names::model_ids;
use super::product::{Item, Offer};
use super::usage::{Kind, Texts, Usage, UsageType, classify};
use super::validate::Quarantine;

/// Longest price-list string that is read; published ones stay below 4 KiB.
const MAX_ITEM_BYTES: usize = 64 * 1024;
/// Most unknown names that are kept to be shown.
const MAX_UNKNOWN_NAMES: usize = 50;
/// Longest part of an unknown name that is kept.
const MAX_NAME_CHARS: usize = 80;

/// Why a row is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Not the JSON of a product, or too long.
    Malformed,
    /// A custom, provisioned, reserved or trained model.
    NotOnDemand,
    /// Images, audio, queries and other things that are no text tokens.
    OtherModality,
    /// Not priced per thousand or million tokens.
    OtherUnit,
    /// A tier this version does not know, or a contradictory one.
    UnknownTier,
    /// What is charged could not be understood.
    UnknownCharge,
    /// The model could not be named.
    UnknownModel,
    /// No region, or none that looks like one.
    NoRegion,
    /// No list price in dollars.
    NoPrice,
    /// A price that is no decimal or beyond what is believed.
    BadPrice,
    /// A price of zero for input or output, which nobody sells.
    ZeroPrice,
    /// A card of another tier or latency without input and output.
    Incomplete,
}

impl Skip {
    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotOnDemand => "not_on_demand",
            Self::OtherModality => "other_modality",
            Self::OtherUnit => "other_unit",
            Self::UnknownTier => "unknown_tier",
            Self::UnknownCharge => "unknown_charge",
            Self::UnknownModel => "unknown_model",
            Self::NoRegion => "no_region",
            Self::NoPrice => "no_price",
            Self::BadPrice => "bad_price",
            Self::ZeroPrice => "zero_price",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What a publication says, before anybody decided to believe it.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// The latest publication date in it; `None` where there is none.
    pub version: Option<Arc<str>>,
    /// Rows by model.
    pub groups: BTreeMap<Box<str>, Vec<ListRow>>,
    /// Models that cannot be believed by what the publication itself says.
    pub suspects: BTreeMap<Box<str>, Quarantine>,
    /// Products read.
    pub products: usize,
    /// Rows left out, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Prices with a remainder below one pico-dollar, rounded up.
    pub rounded: u64,
    /// Names no model is known by, the first few of them.
    pub unknown_names: BTreeSet<String>,
}

/// Reads a publication. `known` tells what the price list does not: the prompt length from which long-context prices
/// count, and which models have no output. `seen` is when it was fetched.
#[must_use]
pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>, known: &PriceBook, seen: Timestamp) -> Publication {
    let mut reader = Reader { publication: Publication::default(), models: HashMap::new(), latest: None, seen };
    for item in items {
        reader.publication.products += 1;
        if let Err(skip) = reader.read(item) {
            *reader.publication.skipped.entry(skip).or_default() += 1;
        }
    }
    reader.finish(&Known::of(known))
}

/// Facts of one rate card in the making.
#[derive(Debug, Default)]
struct Draft {
    base: BTreeMap<Kind, u64>,
    long: BTreeMap<Kind, u64>,
    effective_from: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Model {
    runtime: BTreeMap<CardKey, Draft>,
    mantle: BTreeMap<CardKey, Draft>,
    contradiction: bool,
}

struct Reader {
    publication: Publication,
    models: HashMap<Box<str>, Model>,
    latest: Option<(Timestamp, String)>,
    seen: Timestamp,
}

impl Reader {
    fn read(&mut self, text: &str) -> Result<(), Skip> {
        if text.len() > MAX_ITEM_BYTES {
            return Err(Skip::Malformed);
        }
        let item: Item = serde_json::from_str(text).map_err(|_| Skip::Malformed)?;
        self.note_date(&item);
        let attributes = &item.product.attributes;
        let usage = UsageType::parse(attributes.usagetype.as_deref().unwrap_or_default()).ok_or(Skip::Malformed)?;
        let model = [&attributes.titan_model, &attributes.model, &attributes.servicename]
            .into_iter()
            .filter_map(|name| name.as_deref())
            .find(|name| !name.trim().is_empty())
            .unwrap_or_default();
        let charge = classify(&Texts {
            usage,
            inference_type: attributes.inference_type.as_deref().unwrap_or_default(),
            token_type: attributes.token_type.as_deref().unwrap_or_default(),
            feature: attributes.feature.as_deref().unwrap_or_default(),
            model,
            service_tier: attributes.service_tier.as_deref().unwrap_or_default(),
        })?;
        let region = attributes.region_code.as_deref().filter(|region| is_region(region)).ok_or(Skip::NoRegion)?;
        let models = self.models_of(usage, model)?;
        let mut any = false;
        for offer in item.offers(self.seen) {
            self.add(&models, region, usage, charge, &offer)?;
            any = true;
        }
        if any { Ok(()) } else { Err(Skip::NoPrice) }
    }

    fn note_date(&mut self, item: &Item) {
        let Some(text) = item.publication_date.as_deref().filter(|text| text.len() <= 40) else { return };
        let Ok(date) = text.parse::<Timestamp>() else { return };
        if self.latest.as_ref().is_none_or(|(latest, _)| date > *latest) {
            self.latest = Some((date, text.to_owned()));
        }
    }

    /// An id inside the usage type beats every name: names are for people.
    fn models_of(&mut self, usage: UsageType<'_>, name: &str) -> Result<Vec<Box<str>>, Skip> {
        let ids = match usage.model_id() {
            Some(id) => vec![id],
            None => [name, usage.stem()].into_iter().map(model_ids).find(|ids| !ids.is_empty()).unwrap_or_default(),
        };
        if ids.is_empty() {
            let name = if name.is_empty() { usage.stem() } else { name };
            if self.publication.unknown_names.len() < MAX_UNKNOWN_NAMES {
                self.publication.unknown_names.insert(name.chars().take(MAX_NAME_CHARS).collect());
            }
            return Err(Skip::UnknownModel);
        }
        Ok(ids.into_iter().map(Into::into).collect())
    }

    fn add(
        &mut self,
        models: &[Box<str>],
        region: &str,
        usage_type: UsageType<'_>,
        usage: Usage,
        offer: &Offer<'_>,
    ) -> Result<(), Skip> {
        let unit_digits = unit_digits(usage_type, offer.unit).ok_or(Skip::OtherUnit)?;
        let price = per_token(offer.dollars, unit_digits).ok_or(Skip::BadPrice)?;
        if price.pico == 0 && matches!(usage.kind, Kind::Input | Kind::Output) {
            return Err(Skip::ZeroPrice);
        }
        self.publication.rounded += u64::from(price.rounded);
        for model in models {
            let model = self.models.entry(model.clone()).or_default();
            let drafts = if usage.mantle { &mut model.mantle } else { &mut model.runtime };
            let Usage { route, tier, latency, .. } = usage;
            let draft = drafts.entry(CardKey { route, region: region.into(), tier, latency }).or_default();
            let prices = if usage.long { &mut draft.long } else { &mut draft.base };
            // A price that is published twice is fine; two prices for one thing are not.
            model.contradiction |= *prices.entry(usage.kind).or_insert(price.pico) != price.pico;
            draft.effective_from = draft.effective_from.max(offer.effective_from);
        }
        Ok(())
    }

    fn finish(self, known: &Known) -> Publication {
        let Self { mut publication, models, latest, seen } = self;
        publication.version = latest.map(|(_, text)| text.into());
        for (id, model) in models {
            if model.contradiction {
                publication.suspects.insert(id.clone(), Quarantine::Contradiction);
            }
            // Both endpoints may sell a model; submissions do not say which was called, so the runtime counts.
            let drafts = if model.runtime.is_empty() { model.mantle } else { model.runtime };
            let mut rows = Vec::with_capacity(drafts.len());
            for (key, draft) in drafts {
                let usual = key.tier == ServiceTier::Default && key.latency == Latency::Standard;
                match card(&key, &draft, known.of_model(&id)) {
                    Ok(card) => rows.push(ListRow { route: key.route, region: key.region, card, seen }),
                    Err(Quarantine::Incomplete) if !usual => {
                        *publication.skipped.entry(Skip::Incomplete).or_default() += 1;
                    }
                    Err(reason) => {
                        publication.suspects.entry(id.clone()).or_insert(reason);
                    }
                }
            }
            publication.groups.insert(id, rows);
        }
        publication
    }
}

/// Power of ten of the tokens a price is for. Marketplace rows are per million whatever their description says.
fn unit_digits(usage: UsageType<'_>, unit: &str) -> Option<u8> {
    let unit = unit.trim().to_ascii_lowercase();
    match (usage.marketplace, unit.as_str()) {
        (true, "units" | "unit" | "1m tokens" | "1k tokens" | "tokens" | "")
        | (false, "1m tokens" | "1m token" | "1000000 tokens" | "1,000,000 tokens") => Some(6),
        (false, "1k tokens" | "1k token" | "1000 tokens" | "1,000 tokens") => Some(3),
        (false, "token" | "tokens") => Some(0),
        _ => None,
    }
}

/// `us-east-1`, `us-gov-west-1`; a region code goes into keys and logs, so nothing else may.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lower = |part: &&str| (1..=12).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, names)) => {
            (2..=3).contains(&names.len())
                && names.iter().all(lower)
                && (1..=2).contains(&number.len())
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

/// What the price list does not say about a model.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    long_prompt: Option<u64>,
    no_output: bool,
}

struct Known(HashMap<Box<str>, Facts>);

impl Known {
    fn of(book: &PriceBook) -> Self {
        let mut facts: HashMap<Box<str>, Facts> = HashMap::new();
        for (model, _, card) in book.rows() {
            let entry = facts.entry(model.into()).or_default();
            entry.long_prompt = entry.long_prompt.or(card.above.first().map(|(limit, _)| *limit));
            entry.no_output |= card.base.output == Some(0);
        }
        Self(facts)
    }

    fn of_model(&self, model: &str) -> Facts {
        self.0.get(model).copied().unwrap_or_default()
    }
}

fn rates(prices: &BTreeMap<Kind, u64>) -> Rates {
    let price = |kind| prices.get(&kind).copied();
    Rates {
        input: price(Kind::Input),
        output: price(Kind::Output),
        cache_read: price(Kind::CacheRead),
        cache_write_5m: price(Kind::CacheWrite5m).or(price(Kind::CacheWriteOther)),
        cache_write_1h: price(Kind::CacheWrite1h),
    }
}

fn card(key: &CardKey, draft: &Draft, facts: Facts) -> Result<RateCard, Quarantine> {
    let mut base = rates(&draft.base);
    if facts.no_output && base.input.is_some() {
        base.output = base.output.or(Some(0));
    }
    if base.input.is_none() || base.output.is_none() {
        return Err(Quarantine::Incomplete);
    }
    // Some models publish long-context prices that are the usual ones; then the limit does not matter.
    let differs = draft.long.iter().any(|(kind, price)| draft.base.get(kind) != Some(price));
    let above = match facts.long_prompt {
        _ if draft.long.is_empty() => Vec::new(),
        None if differs => return Err(Quarantine::LongPromptUnknown),
        None => Vec::new(),
        Some(limit) => {
            let long = rates(&draft.long);
            if long.input.is_none() || long.output.is_none() {
                return Err(Quarantine::Incomplete);
            }
            vec![(limit, long)]
        }
    };
    let CardKey { tier, latency, .. } = *key;
    Ok(RateCard { tier, latency, effective_from: draft.effective_from, base, above, units: Vec::new() })
}
