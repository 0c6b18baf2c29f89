//! The price snapshot compiled into the binary, so that a first start without AWS knows real prices.
//!
//! `snapshot.csv` is written by `scripts/refresh-prices`, which says where the figures come from and checks them; it
//! is checked again here, because a start must not trust a file that a person may have edited.

use std::collections::{BTreeMap, HashSet};

use super::book::{DuplicateRow, Place, PriceBook};
use super::rates::{MAX_PRICE, RateCard, Rates};
use super::scope::PriceScope;
use super::{Latency, PriceSource, ServiceTier};

const SNAPSHOT: &str = include_str!("snapshot.csv");
/// Form of the file this reader understands.
const SCHEMA: &str = "1";

/// Why a snapshot is refused. It is refused whole: half a price list is worse than an old one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The comment lines at its head are not as expected.
    #[error("price snapshot has no valid `{0}` line")]
    Header(&'static str),
    /// Not the expected table.
    #[error("price snapshot is not readable: {0}")]
    Malformed(String),
    /// A value of a row is wrong.
    #[error("price snapshot, {model}: {reason}")]
    Row {
        /// Model of the row.
        model: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two rows with one key.
    #[error(transparent)]
    Duplicate(#[from] DuplicateRow),
}

/// The embedded snapshot as a price book.
///
/// # Errors
/// Never for the file that is compiled in: a test loads it. The error exists because a start must not panic.
pub fn embedded() -> Result<PriceBook, SnapshotError> {
    parse(SNAPSHOT)
}

/// Value of a comment line `# name: value` at the head of the file.
fn header<'a>(text: &'a str, name: &'static str) -> Result<&'a str, SnapshotError> {
    text.lines()
        .map_while(|line| line.strip_prefix("# "))
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .ok_or(SnapshotError::Header(name))
}

/// A line of the table.
struct Line {
    model: String,
    runtime: bool,
    place: Place,
    tier: ServiceTier,
    latency: Latency,
    prompt_gt: Option<u64>,
    rates: Rates,
    units: Vec<(Box<str>, u64)>,
}

/// Lines that differ only in the prompt limit make one rate card.
type CardKey = (String, Place, ServiceTier, Latency);

/// The card of the usual prompt, once its line was met, and the prices of longer ones.
type CardParts = (Option<RateCard>, Vec<(u64, Rates)>);

fn parse(text: &str) -> Result<PriceBook, SnapshotError> {
    if header(text, "schema")? != SCHEMA {
        return Err(SnapshotError::Header("schema"));
    }
    let lines = read_lines(text)?;
    // A model may be sold through the Converse runtime and through the OpenAI-compatible endpoint (`mantle`), at
    // different prices. Submissions do not say which was called, so the runtime's price counts where there is one.
    let on_runtime: HashSet<String> = lines.iter().filter(|line| line.runtime).map(|line| line.model.clone()).collect();
    let mut cards: BTreeMap<CardKey, CardParts> = BTreeMap::new();
    for line in lines.into_iter().filter(|line| line.runtime || !on_runtime.contains(&line.model)) {
        let Line { model, place, tier, latency, prompt_gt, rates, units, .. } = line;
        let entry = cards.entry((model.clone(), place.clone(), tier, latency)).or_default();
        match prompt_gt {
            None if entry.0.is_some() => return Err(DuplicateRow { model, place }.into()),
            None => {
                entry.0 = Some(RateCard { tier, latency, effective_from: None, base: rates, above: Vec::new(), units });
            }
            Some(limit) if entry.1.iter().any(|(known, _)| *known == limit) => {
                return Err(DuplicateRow { model, place }.into());
            }
            Some(limit) => entry.1.push((limit, rates)),
        }
    }
    let mut book = PriceBook::new(PriceSource::Embedded, header(text, "retrieved")?);
    for ((model, place, ..), (card, mut above)) in cards {
        let mut card = card.ok_or_else(|| SnapshotError::Row {
            model: model.clone(),
            reason: "long prompts have a price, others none",
        })?;
        above.sort_by_key(|(limit, _)| *limit);
        card.above = above;
        book.insert(&model, place, card)?;
    }
    Ok(book)
}

fn read_lines(text: &str) -> Result<Vec<Line>, SnapshotError> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|e| SnapshotError::Malformed(e.to_string()))?.clone();
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|e| SnapshotError::Malformed(e.to_string()))?;
            let cell = |name: &str| {
                columns.iter().position(|column| column == name).and_then(|index| record.get(index)).unwrap_or_default()
            };
            let model = cell("model").to_owned();
            read_line(&cell).map_err(|reason| SnapshotError::Row { model, reason })
        })
        .collect()
}

fn read_line<'a>(cell: &impl Fn(&str) -> &'a str) -> Result<Line, &'static str> {
    let price = |name: &str| match cell(name) {
        "" => Ok(None),
        digits => digits
            .parse()
            .ok()
            .filter(|price| *price <= MAX_PRICE)
            .map(Some)
            .ok_or("a price is no integer up to one dollar"),
    };
    let optional = |text: &str| (!text.is_empty()).then(|| Box::<str>::from(text));
    if cell("model").is_empty() {
        return Err("the model is missing");
    }
    Ok(Line {
        model: cell("model").to_owned(),
        runtime: match cell("api") {
            "runtime" => true,
            "mantle" => false,
            _ => return Err("unknown api"),
        },
        place: Place {
            scope: PriceScope::parse(cell("scope")).ok_or("unknown scope")?,
            region: optional(cell("region")),
        },
        tier: match cell("tier") {
            "default" => ServiceTier::Default,
            "priority" => ServiceTier::Priority,
            "flex" => ServiceTier::Flex,
            "batch" => ServiceTier::Batch,
            _ => return Err("unknown tier"),
        },
        latency: match cell("latency") {
            "standard" => Latency::Standard,
            "optimized" => Latency::Optimized,
            _ => return Err("unknown latency"),
        },
        prompt_gt: match cell("prompt_gt") {
            "" => None,
            limit => Some(limit.parse().map_err(|_| "the prompt limit is no integer")?),
        },
        rates: Rates {
            input: price("input")?,
            output: price("output")?,
            cache_read: price("cache_read")?,
            cache_write_5m: price("cache_write_5m")?,
            cache_write_1h: price("cache_write_1h")?,
        },
        units: read_units(cell("units"))?,
    })
}

/// `name=price` pairs, joined by `;`.
fn read_units(text: &str) -> Result<Vec<(Box<str>, u64)>, &'static str> {
    text.split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, price) = pair.split_once('=').ok_or("a unit has no price")?;
            let price = price.parse().ok().filter(|price| *price <= MAX_PRICE).ok_or("a unit price is no integer")?;
            Ok((name.into(), price))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# schema: 1\n# retrieved: 2026-01-01\n\
        model,api,scope,region,tier,latency,prompt_gt,input,output,cache_read,cache_write_5m,cache_write_1h,units,retire_after\n";

    fn with(rows: &str) -> Result<PriceBook, SnapshotError> {
        parse(&format!("{HEAD}{rows}\n"))
    }

    #[test]
    fn the_embedded_snapshot_loads_whole() {
        let book = embedded().unwrap();
        assert!(book.len() > 800, "{}", book.len());
        assert_eq!(book.version().len(), "2026-11-23".len());
    }

    #[test]
    fn a_snapshot_that_contradicts_itself_is_refused_whole() {
        let row = "m,runtime,in_region,,default,standard,,1,2,,,,query=5,";
        assert_eq!(with(row).unwrap().len(), 1);
        for rows in [
            format!("{row}\n{row}"),
            row.replace("in_region", "geo:mars"),
            row.replace("default", "gold"),
            row.replace(",1,2,", ",2000000000000,2,"),
            row.replace(",1,2,", ",-1,2,"),
            row.replace(",1,2,", ",1.5,2,"),
            row.replace("query=5", "query"),
            row.replace("standard,,", "standard,200000,"),
            row.replace("runtime", "carrier-pigeon"),
            row.replacen('m', "", 1),
        ] {
            assert!(with(&rows).is_err(), "{rows}");
        }
        assert!(parse(&HEAD.replace("schema: 1", "schema: 2")).is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn the_runtimes_price_beats_the_openai_compatible_endpoints() {
        let runtime = "m,runtime,in_region,,default,standard,,1,2,,,,,";
        let mantle = runtime.replace("runtime", "mantle").replace(",1,2,", ",8,9,");
        let other = mantle.replacen('m', "other", 1);
        let book = with(&format!("{mantle}\n{runtime}\n{other}")).unwrap();
        let inputs: BTreeMap<_, _> = book.rows().map(|(model, _, card)| (model.to_owned(), card.base.input)).collect();
        assert_eq!(inputs, BTreeMap::from([("m".to_owned(), Some(1)), ("other".to_owned(), Some(8))]));
    }
}
