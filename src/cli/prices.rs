//! `models` and `price`: what things cost, and why.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::table::aligned;
use super::{CommandError, CommandResult};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::money::PicoUsd;
use crate::domain::pricing::{
    Latency, ModelRef, PriceCatalog, PriceQuery, RateCard, Rates, Resolved, ServiceTier, place_text,
};
use crate::domain::tokens::{MAX_TOKENS_PER_SUBMISSION, TokenCounts};

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Tier {
    #[default]
    Default,
    Priority,
    Flex,
    Batch,
}

impl From<Tier> for ServiceTier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Default => Self::Default,
            Tier::Priority => Self::Priority,
            Tier::Flex => Self::Flex,
            Tier::Batch => Self::Batch,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Model ids, prefixed ids or ARNs; without any, every model with a price
    ids: Vec<String>,
    /// Regions the calls are made from; without any, prices that hold in regions without one of their own
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct PriceArgs {
    /// Model id, prefixed id or ARN, as it is passed to Bedrock
    id: String,
    /// Region the call is made from
    #[arg(long)]
    region: Option<String>,
    /// Prompt tokens outside the cache
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS_PER_SUBMISSION))]
    input: u64,
    /// Generated tokens
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS_PER_SUBMISSION))]
    output: u64,
    /// Prompt tokens read from the cache
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS_PER_SUBMISSION))]
    cache_read: u64,
    /// Prompt tokens written to the cache, of every time to live
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS_PER_SUBMISSION))]
    cache_write: u64,
    /// The part of --cache-write kept for one hour
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_TOKENS_PER_SUBMISSION))]
    cache_write_1h: u64,
    /// Processing tier
    #[arg(long, value_enum, default_value_t)]
    tier: Tier,
    /// Latency-optimized inference
    #[arg(long)]
    optimized: bool,
}

/// A price per one million units in dollars: `0.8`, `16.5`, `-` where none is published.
fn per_million(price: Option<u64>) -> String {
    // Pico-dollars per unit are micro-dollars per million units.
    match price {
        None => "-".to_owned(),
        Some(price) => {
            let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

fn query<'a>(id: &'a str, region: Option<&'a str>) -> PriceQuery<'a> {
    PriceQuery {
        model_id: id,
        region,
        tier: ServiceTier::Default,
        latency: Latency::Standard,
        tokens: TokenCounts::default(),
        cache_ttl_assumed: false,
        at: SystemClock.now(),
    }
}

/// Prints the price table.
pub(super) fn models(catalog: &PriceCatalog, args: &ModelsArgs) -> CommandResult {
    let mut rows = vec![
        ["model", "applies", "tier", "prompt", "input", "output", "read", "write 5m", "write 1h", "source"]
            .map(str::to_owned),
    ];
    let mut unpriced = Vec::new();
    if args.ids.is_empty() {
        rows.extend(every_row(catalog));
    }
    let regions: Vec<Option<&str>> = match args.regions.as_slice() {
        [] => vec![None],
        regions => regions.iter().map(|region| Some(region.as_str())).collect(),
    };
    for id in &args.ids {
        for region in &regions {
            let query = query(id, *region);
            match catalog.resolve(&query, None) {
                Some(found) => rows.extend(resolved_rows(id, *region, &found)),
                None => unpriced.push(id.as_str()),
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for line in aligned(&rows, COLUMNS) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "USD per one million units; - is not published, 0 is free")?;
    for id in &unpriced {
        writeln!(out, "{id}: no price is known; its usage counts as unpriced")?;
    }
    Ok(if unpriced.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Columns of the price table; all are text, because prices are read from the left.
const COLUMNS: usize = 10;

type TableRow = [String; COLUMNS];

fn row(model: &str, applies: String, card: &RateCard, limit: Option<u64>, rates: &Rates, source: String) -> TableRow {
    let tier = match card.latency {
        Latency::Standard => format!("{:?}", card.tier).to_lowercase(),
        Latency::Optimized => format!("{:?} optimized", card.tier).to_lowercase(),
    };
    [
        model.to_owned(),
        applies,
        tier,
        limit.map_or_else(|| "any".to_owned(), |limit| format!("> {limit}")),
        per_million(rates.input),
        per_million(rates.output),
        per_million(rates.cache_read),
        per_million(rates.cache_write_5m),
        per_million(rates.cache_write_1h),
        source,
    ]
}

fn card_rows(model: &str, applies: &str, card: &RateCard, source: &str) -> Vec<TableRow> {
    let base = row(model, applies.to_owned(), card, None, &card.base, source.to_owned());
    let above = card
        .above
        .iter()
        .map(|(limit, rates)| row(model, applies.to_owned(), card, Some(*limit), rates, source.to_owned()));
    std::iter::once(base).chain(above).collect()
}

fn resolved_rows(id: &str, region: Option<&str>, found: &Resolved<'_>) -> Vec<TableRow> {
    let Some(row) = found.row else { return Vec::new() };
    let mut applies = place_text(row.place);
    if row.stand_ins.any() {
        applies.push_str(" (stands in)");
    }
    if let Some(region) = region {
        applies = format!("{applies}, called from {region}");
    }
    card_rows(id, &applies, row.card, &source_text(found))
}

fn every_row(catalog: &PriceCatalog) -> Vec<TableRow> {
    let mut rows: Vec<TableRow> = catalog
        .books()
        .iter()
        .flat_map(|book| {
            let source = format!("{:?} {}", book.source(), book.version());
            book.rows()
                .flat_map(|(model, place, card)| card_rows(model, &place_text(place), card, &source))
                .collect::<Vec<_>>()
        })
        .collect();
    rows.sort();
    rows
}

fn source_text(found: &Resolved<'_>) -> String {
    format!("{:?} {}", found.source, found.version)
}

/// Explains a price line by line.
pub(super) fn price(catalog: &PriceCatalog, args: &PriceArgs) -> CommandResult {
    if args.cache_write_1h > args.cache_write {
        return Err("--cache-write-1h is a part of --cache-write and must not exceed it".into());
    }
    let query = PriceQuery {
        tier: args.tier.into(),
        latency: if args.optimized { Latency::Optimized } else { Latency::Standard },
        tokens: TokenCounts {
            input: args.input,
            output: args.output,
            cache_read: args.cache_read,
            cache_write: args.cache_write,
            cache_write_1h: args.cache_write_1h,
        },
        ..query(&args.id, args.region.as_deref())
    };
    let mut out = std::io::stdout().lock();
    for line in explain(catalog, &query)? {
        writeln!(out, "{line}")?;
    }
    let priced = catalog.quote(&query, None).source.is_some();
    Ok(if priced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn explain(catalog: &PriceCatalog, query: &PriceQuery<'_>) -> Result<Vec<String>, CommandError> {
    let mut out = Vec::new();
    match ModelRef::parse(query.model_id) {
        Some(model) => {
            out.push(format!("model    {}", model.model));
            let region = query.region.or(model.region).map_or_else(String::new, |region| format!(", from {region}"));
            out.push(format!("called   {}{region}", model.scope));
        }
        None => out.push("model    an ARN that names no model; only AWS knows what is behind it".to_owned()),
    }
    let Some(found) = catalog.resolve(query, None) else {
        out.push("price    none is known: usage of this model counts as UNPRICED, and is never free".to_owned());
        return Ok(out);
    };
    out.push(format!("source   {}", source_text(&found)));
    if let Some(row) = found.row {
        out.push(format!(
            "row      {}, {:?} tier, {:?} latency",
            place_text(row.place),
            row.card.tier,
            row.card.latency
        ));
        for (stands_in, why) in [
            (row.stand_ins.scope, "no price of the called scope is known: the in-region one stands in"),
            (row.stand_ins.tier, "no price of this tier is known: the standard one stands in"),
            (row.stand_ins.latency, "no price of optimized latency is known: the standard one stands in"),
        ] {
            if stands_in {
                out.push(format!("         {why}"));
            }
        }
    }
    if let Some(limit) = found.prompt_gt {
        out.push(format!(
            "         the prompt of {} tokens exceeds {limit}: the whole request is priced as long",
            query.tokens.prompt()
        ));
    }
    for line in found.rates.lines(&query.tokens).into_iter().filter(|line| line.units > 0) {
        let price = line.price.unwrap_or(0);
        let cost = PicoUsd::new(u128::from(line.units) * u128::from(price));
        let stand_in = if line.stand_in { "  (no price is published: the dearest input price stands in)" } else { "" };
        out.push(format!(
            "{:<14} {:>13} × {:>10} USD per 1M = {cost} USD{stand_in}",
            line.dimension,
            line.units,
            per_million(Some(price))
        ));
    }
    let quote = catalog.quote(query, None);
    out.push(format!("total    {} USD = {} micro-USD, {:?}", quote.cost, quote.cost.to_micros_half_up(), quote.status));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_with_the_digits_it_has() {
        assert_eq!(per_million(Some(800_000)), "0.8");
        assert_eq!(per_million(Some(16_500_000)), "16.5");
        assert_eq!(per_million(Some(3_000_000)), "3");
        assert_eq!(per_million(Some(35)), "0.000035");
        assert_eq!(per_million(Some(0)), "0");
        assert_eq!(per_million(None), "-");
    }
}
