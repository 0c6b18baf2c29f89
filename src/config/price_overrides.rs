//! `pricing.overrides`: prices an operator sets for models, which beat every other source.
//!
//! One entry is one line, so that a list in a file, an environment variable and a flag all carry it:
//! `MODEL input=N output=N [cache_read=N] [cache_write=N] [cache_write_1h=N] [region=REGION] [tier=TIER]`.

use crate::domain::pricing::{
    CONFIG_VERSION, DuplicateRow, MAX_PRICE, ModelRef, Place, PriceBook, PriceSource, RateCard, Rates, ServiceTier,
};

/// What an entry must look like, for messages.
pub(super) const EXPECTED: &str = "like `MODEL input=N output=N`, optionally with cache_read=N, cache_write=N, \
     cache_write_1h=N, region=REGION and tier=TIER (default, priority, flex or batch); N is micro-USD per 1M tokens";

/// The model, the place and the prices of an entry; `None` where it is not as [`EXPECTED`].
fn parse(entry: &str) -> Option<(String, Place, RateCard)> {
    let mut words = entry.split_whitespace();
    let called = ModelRef::parse(words.next()?)?;
    let mut rates = Rates::default();
    let mut region: Option<Box<str>> = called.region.map(Into::into);
    let mut tier = None;
    for word in words {
        let (name, value) = word.split_once('=')?;
        let price = || value.parse().ok().filter(|price| *price <= MAX_PRICE);
        let slot = match name {
            "input" => &mut rates.input,
            "output" => &mut rates.output,
            "cache_read" => &mut rates.cache_read,
            "cache_write" => &mut rates.cache_write_5m,
            "cache_write_1h" => &mut rates.cache_write_1h,
            "region" if region.is_none() && !value.is_empty() => {
                region = Some(value.into());
                continue;
            }
            "tier" if tier.is_none() => {
                tier = Some(match value {
                    "default" => ServiceTier::Default,
                    "priority" => ServiceTier::Priority,
                    "flex" => ServiceTier::Flex,
                    "batch" => ServiceTier::Batch,
                    _ => return None,
                });
                continue;
            }
            _ => return None,
        };
        // A price named twice is a mistake, not a preference for the last one.
        if slot.replace(price()?).is_some() {
            return None;
        }
    }
    // Both are needed: a missing one would leave calls unpriced that an override was meant to price.
    rates.input.and(rates.output)?;
    let card = RateCard { tier: tier.unwrap_or_default(), base: rates, ..RateCard::default() };
    Some((called.model.to_owned(), Place { scope: called.scope, region }, card))
}

/// Whether an entry is as [`EXPECTED`].
pub(super) fn accepts(entry: &str) -> bool {
    parse(entry).is_some()
}

/// The entries as a book of prices.
///
/// # Errors
/// [`DuplicateRow`] where two entries price the same.
pub(super) fn book(entries: &[String]) -> Result<PriceBook, DuplicateRow> {
    let mut book = PriceBook::new(PriceSource::Config, CONFIG_VERSION);
    for (model, place, card) in entries.iter().filter_map(|entry| parse(entry)) {
        book.insert(&model, place, card)?;
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_a_model_at_a_place_and_its_prices() {
        let (model, place, card) =
            parse("eu.acme.m-v1:0 input=7 output=11 cache_read=1 region=eu-west-1 tier=flex").unwrap();
        assert_eq!((model.as_str(), place.scope.to_string().as_str()), ("acme.m-v1:0", "geo:eu"));
        assert_eq!((place.region.as_deref(), card.tier), (Some("eu-west-1"), ServiceTier::Flex));
        assert_eq!((card.base.input, card.base.cache_read, card.base.cache_write_1h), (Some(7), Some(1), None));
    }

    #[test]
    fn a_mistaken_entry_is_refused() {
        for bad in [
            "",
            "acme.m",
            "acme.m input=1",
            "acme.m input=1 output=-2",
            "acme.m input=1 output=1.5",
            "acme.m input=1 input=2 output=3",
            "acme.m input=1 output=2 colour=3",
            "acme.m input=1 output=2 tier=gold",
            "acme.m input=1 output=2000000000000",
            "arn:aws:s3:::x input=1 output=2",
            "acme.m input output=2",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
        let twice = ["acme.m input=1 output=2".to_owned(), "acme.m input=3 output=4".to_owned()];
        assert!(book(&twice).is_err());
    }
}
