//! Rows as AWS writes them, and what they come to.

mod hostile;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{Latency, PriceBook, PriceCatalog, PriceQuery, PriceSource, Rates, ServiceTier, embedded};
use super::*;
use crate::domain::tokens::TokenCounts;

const PUBLISHED: &str = "2026-11-20T17:03:51Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

fn item(attributes: &Value, unit: &str, dollars: &str) -> Value {
    json!({
        "product": {"productFamily": "Bedrock", "attributes": attributes, "sku": "2VJZ7QH5KEHZ2VCM"},
        "serviceCode": "AmazonBedrock",
        "terms": {"OnDemand": {"2VJZ7QH5KEHZ2VCM.JRTCKXETXF": {
            "priceDimensions": {"2VJZ7QH5KEHZ2VCM.JRTCKXETXF.6YS6EN2CT7": {
                "unit": unit, "endRange": "Inf", "beginRange": "0", "description": "a price",
                "rateCode": "2VJZ7QH5KEHZ2VCM.JRTCKXETXF.6YS6EN2CT7", "appliesTo": [],
                "pricePerUnit": {"USD": dollars},
            }},
            "sku": "2VJZ7QH5KEHZ2VCM", "effectiveDate": "2026-11-01T00:00:00Z",
            "offerTermCode": "JRTCKXETXF", "termAttributes": {},
        }}},
        "version": "20261120170351", "publicationDate": PUBLISHED,
    })
}

fn native(model: &str, region: &str, usagetype: &str, dollars: &str) -> String {
    let attributes = json!({"model": model, "regionCode": region, "usagetype": usagetype});
    item(&attributes, "1K tokens", dollars).to_string()
}

fn market(name: &str, region: &str, usagetype: &str, dollars: &str) -> String {
    let servicename = format!("{name} (Amazon Bedrock Edition)");
    let attributes = json!({"servicename": servicename, "regionCode": region, "usagetype": usagetype});
    item(&attributes, "Units", dollars).to_string()
}

fn read(items: &[String]) -> Publication {
    parse(items.iter().map(String::as_str), &embedded().unwrap(), now())
}

fn accept(items: &[String], previous: Option<&PriceList>) -> Result<Accepted, Refusal> {
    let limits = Limits { min_rows: 1, keep_for: SignedDuration::from_hours(24 * 30) };
    validate(read(items), previous, &embedded().unwrap(), limits, now())
}

/// Pico-dollars per token of input and output in force, and the source.
fn priced(list: &PriceList, id: &str, region: Option<&str>, tier: ServiceTier) -> Option<(Rates, PriceSource)> {
    let books: Vec<_> = list.books(PriceSource::PricingApi).unwrap().into_iter().map(Into::into).collect();
    let catalog = PriceCatalog::new(books);
    let query = PriceQuery {
        model_id: id,
        region,
        tier,
        latency: Latency::Standard,
        tokens: TokenCounts::default(),
        cache_ttl_assumed: false,
        at: now(),
    };
    let found = catalog.resolve(&query, None)?;
    (!found.stand_ins().any()).then_some((*found.rates, found.source))
}

fn prices(list: &PriceList, id: &str, region: Option<&str>) -> Option<(u64, u64)> {
    let (rates, _) = priced(list, id, region, ServiceTier::Default)?;
    Some((rates.input?, rates.output?))
}

fn nova_pro(input: &str, output: &str) -> Vec<String> {
    vec![
        native("Nova Pro", "us-east-1", "USE1-NovaPro-input-tokens", input),
        native("Nova Pro", "us-east-1", "USE1-NovaPro-output-tokens", output),
    ]
}

fn nova_lite(region: &str) -> Vec<String> {
    vec![
        native("Nova Lite", region, "USE1-NovaLite-input-tokens", "0.0000600000"),
        native("Nova Lite", region, "USE1-NovaLite-output-tokens", "0.0002400000"),
    ]
}

fn both() -> Vec<String> {
    [nova_pro("0.0008000000", "0.0032000000"), nova_lite("us-east-1"), nova_lite("us-west-2")].concat()
}

#[test]
fn both_families_come_to_pico_dollars_per_token() {
    let sonnet = |usage: &str, dollars: &str| market("Claude Sonnet 4.6", "us-east-1", usage, dollars);
    let mut items = nova_pro("0.0008000000", "0.0032000000");
    items.extend([
        native("Nova Pro", "us-east-1", "USE1-NovaPro-cache-read-input-token-count", "0.0002000000"),
        native("Nova Pro", "us-east-1", "USE1-NovaPro-cache-write-input-token-count", "0.0000000000"),
        sonnet("USE1-MP:USE1_InputTokenCount-Units", "3.3000000000"),
        sonnet("USE1-MP:USE1_OutputTokenCount-Units", "16.5000000000"),
        sonnet("USE1-MP:USE1_CacheReadInputTokenCount-Units", "0.3300000000"),
        sonnet("USE1-MP:USE1_CacheWriteInputTokenCount-Units", "4.1250000000"),
        sonnet("USE1-MP:USE1_CacheWrite1hInputTokenCount-Units", "6.6000000000"),
        sonnet("USE1-MP:USE1_InputTokenCount_Global-Units", "3.0000000000"),
        sonnet("USE1-MP:USE1_output_tokens_global_standard-Units", "15.0000000000"),
    ]);
    let Accepted { list, quarantined, .. } = accept(&items, None).unwrap();
    assert!(quarantined.is_empty(), "{quarantined:?}");
    let (nova, source) = priced(&list, "amazon.nova-pro-v1:0", None, ServiceTier::Default).unwrap();
    let expected = Rates {
        input: Some(800_000),
        output: Some(3_200_000),
        cache_read: Some(200_000),
        cache_write_5m: Some(0),
        cache_write_1h: None,
    };
    assert_eq!((nova, source), (expected, PriceSource::PricingApi));
    let (sonnet, _) = priced(&list, "anthropic.claude-sonnet-4-6", Some("us-east-1"), ServiceTier::Default).unwrap();
    let expected = Rates {
        input: Some(3_300_000),
        output: Some(16_500_000),
        cache_read: Some(330_000),
        cache_write_5m: Some(4_125_000),
        cache_write_1h: Some(6_600_000),
    };
    assert_eq!(sonnet, expected);
    assert_eq!(prices(&list, "us.anthropic.claude-sonnet-4-6", None), Some((3_300_000, 16_500_000)));
    assert_eq!(prices(&list, "global.anthropic.claude-sonnet-4-6", None), Some((3_000_000, 15_000_000)));
    assert_eq!(&*list.version, PUBLISHED);
}

#[test]
fn a_row_is_understood_by_its_words() {
    let row = |attributes: Value| {
        let mut attributes = attributes;
        attributes["regionCode"] = json!("us-east-1");
        let read = read(&[item(&attributes, "1K tokens", "0.0010000000").to_string()]);
        // A single price makes no card, which is not what this is about.
        match (read.groups.keys().next(), read.skipped.keys().find(|skip| **skip != Skip::Incomplete)) {
            (Some(model), None) => Ok(model.to_string()),
            (_, skipped) => Err(skipped.copied()),
        }
    };
    let usage = |usagetype: &str| row(json!({"usagetype": usagetype}));
    let model = |usagetype: &str, model: &str| row(json!({"usagetype": usagetype, "model": model}));
    assert_eq!(usage("USE1-openai.gpt-5.6-sol-input-tokens-standard").as_deref(), Ok("openai.gpt-5.6-sol"));
    assert_eq!(usage("USE1-zai.glm-5-mantle-output-tokens-flex").as_deref(), Ok("zai.glm-5"));
    assert_eq!(usage("EU-Nova2.0Lite-input-tokens-cross-region-global").as_deref(), Ok("amazon.nova-2-lite-v1:0"));
    assert_eq!(model("APS3-X-input-tokens", "Llama 3.3 70B").as_deref(), Ok("meta.llama3-3-70b-instruct-v1:0"));
    let titan = json!({"usagetype": "USE1-TitanText-Express-input-tokens", "titanModel": "Titan Text G1 - Express"});
    assert_eq!(row(titan).as_deref(), Ok("amazon.titan-text-express-v1"));
    let described = json!({"usagetype": "USE1-xai.grok-4.3-mantle", "tokenType": "input_tokens_mantle"});
    assert_eq!(row(described).as_deref(), Ok("xai.grok-4.3"));

    for usagetype in [
        "USE1-NovaLite-input-tokens-custom-model",
        "USE1-NovaPro-Customization-Training",
        "USE1-MP:USE1_Reserved_1Month_InputTPM_Geo-Units",
        "USE1-MP:USE1_ProvisionedThroughput_NoCommit_ModelUnits_Usage-Units",
    ] {
        assert_eq!(model(usagetype, "Nova Lite"), Err(Some(Skip::NotOnDemand)), "{usagetype}");
    }
    let customized =
        json!({"usagetype": "USE1-NovaLite-input-tokens", "model": "Nova Lite", "feature": "Model Customization"});
    assert_eq!(row(customized), Err(Some(Skip::NotOnDemand)));
    assert_eq!(model("USE1-Llama3-3-70B-input-tokens", "Llama 3.3 70B Custom"), Err(Some(Skip::NotOnDemand)));
    for usagetype in ["USE1-Nova2.0Omni-input-audio-token-count", "USE1-Nova2.0Pro-input-image-token-count"] {
        assert_eq!(usage(usagetype), Err(Some(Skip::OtherModality)), "{usagetype}");
    }
    assert_eq!(model("USE1-X-input-tokens", "Marvel 9"), Err(Some(Skip::UnknownModel)));
    assert_eq!(model("USE1-NovaPro-something", "Nova Pro"), Err(Some(Skip::UnknownCharge)));
    assert_eq!(model("USE1-NovaPro-input-tokens-turbo", "Nova Pro"), Err(Some(Skip::UnknownTier)));
    let torn = json!({"usagetype": "USE1-NovaPro-input-tokens-batch", "model": "Nova Pro", "service_tier": "flex"});
    assert_eq!(row(torn), Err(Some(Skip::UnknownTier)));
}

#[test]
fn one_hour_cache_writes_are_no_input_and_tiers_and_latency_are_apart() {
    let mut items = nova_pro("0.0008000000", "0.0032000000");
    items.extend(["batch", "flex", "priority"].into_iter().flat_map(|tier| {
        let usage = |kind: &str| format!("USE1-NovaPro-{kind}-tokens-{tier}");
        [
            native("Nova Pro", "us-east-1", &usage("input"), "0.0004000000"),
            native("Nova Pro", "us-east-1", &usage("output"), "0.0016000000"),
        ]
    }));
    items.extend([
        native("Nova Pro Latency Optimized", "us-east-1", "USE1-NovaPro-input-tokens-latency-optimized", "0.001"),
        native("Nova Pro Latency Optimized", "us-east-1", "USE1-NovaPro-output-tokens-latency-optimized", "0.004"),
    ]);
    // The tier stands in the feature alone.
    let feature = json!({
        "model": "Nova Lite", "usagetype": "USE1-NovaLite-input-tokens", "feature": "Batch Inference",
        "regionCode": "us-east-1",
    });
    items.push(item(&feature, "1K tokens", "0.0000300000").to_string());
    let Accepted { list, quarantined, .. } = accept(&items, None).unwrap();
    assert!(quarantined.is_empty(), "{quarantined:?}");
    for tier in [ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority] {
        let (rates, _) = priced(&list, "amazon.nova-pro-v1:0", None, tier).unwrap();
        assert_eq!((rates.input, rates.output), (Some(400_000), Some(1_600_000)), "{tier:?}");
    }
    let pro = &list.groups["amazon.nova-pro-v1:0"].rows;
    let optimized = pro.iter().find(|row| row.card.latency == Latency::Optimized).unwrap();
    assert_eq!(optimized.card.base.output, Some(4_000_000));
    assert!(!list.groups.contains_key("amazon.nova-lite-v1:0"), "a batch card without output is no card");
}

#[test]
fn a_region_decides_where_prices_differ_and_the_reference_region_where_it_is_unknown() {
    let lite = |region: &str, input: &str, output: &str| {
        vec![
            native("Nova 2.0 Lite", region, "X-Nova2.0Lite-input-tokens", input),
            native("Nova 2.0 Lite", region, "X-Nova2.0Lite-output-tokens", output),
        ]
    };
    let items = [
        lite("us-east-1", "0.0003300000", "0.0027500000"),
        lite("us-west-2", "0.0003300000", "0.0027500000"),
        lite("eu-south-1", "0.0004290000", "0.0035970000"),
        lite("eu-south-2", "0.0003900000", "0.0032500000"),
        lite("eu-west-3", "0.0003900000", "0.0032500000"),
        lite("ap-northeast-1", "0.0003960000", "0.0033110000"),
    ]
    .concat();
    let list = accept(&items, None).unwrap().list;
    let price = |id: &str, region| prices(&list, id, region).map(|(input, _)| input);
    let id = "amazon.nova-2-lite-v1:0";
    assert_eq!(price(id, None), Some(330_000));
    assert_eq!(price(id, Some("eu-south-1")), Some(429_000));
    assert_eq!(price(&format!("eu.{id}"), Some("eu-south-2")), Some(390_000));
    assert_eq!(price(&format!("eu.{id}"), None), Some(390_000), "what most regions of the profile cost");
    assert_eq!(price(&format!("us.{id}"), None), Some(330_000));
    assert_eq!(price(&format!("jp.{id}"), None), Some(396_000));
    assert_eq!(price(&format!("apac.{id}"), Some("ap-northeast-1")), Some(396_000));
    assert_eq!(price(&format!("global.{id}"), None), None, "never another scope's price without saying so");
}

#[test]
fn long_prompts_cost_more_where_the_limit_is_known() {
    let sonnet = |name: &str, long: &str| {
        vec![
            market(name, "us-east-1", "USE1-MP:USE1_InputTokenCount-Units", "3.3"),
            market(name, "us-east-1", "USE1-MP:USE1_OutputTokenCount-Units", "16.5"),
            market(name, "us-east-1", "USE1-MP:USE1_InputTokenCount_LCtx-Units", long),
            market(name, "us-east-1", "USE1-MP:USE1_OutputTokenCount_LCtx-Units", "16.5"),
        ]
    };
    let known = accept(&sonnet("Claude Sonnet 4.5", "6.6"), None).unwrap().list;
    let card = &known.groups["anthropic.claude-sonnet-4-5-20250929-v1:0"].rows[0].card;
    assert_eq!((card.above[0].0, card.above[0].1.input), (200_000, Some(6_600_000)));
    let usual = accept(&sonnet("Claude Sonnet 4.6", "3.3"), None).unwrap().list;
    assert!(usual.groups["anthropic.claude-sonnet-4-6"].rows[0].card.above.is_empty());
    let unknown = read(&sonnet("Claude Sonnet 4.6", "6.6"));
    assert_eq!(unknown.suspects["anthropic.claude-sonnet-4-6"], Quarantine::LongPromptUnknown);
    let silent = sonnet("Claude Sonnet 4.5", "6.6")[..2].to_vec();
    let lost = accept(&[silent, both()].concat(), Some(&known)).unwrap();
    let reasons: Vec<_> = lost.quarantined.values().collect();
    assert_eq!(reasons, [&Quarantine::LongPromptLost]);
}

#[test]
fn a_volume_price_is_no_list_price() {
    let mut row = item(
        &json!({"model": "Nova Pro", "regionCode": "us-east-1", "usagetype": "X-NovaPro-input-tokens"}),
        "1K tokens",
        "0.0008",
    );
    let dimensions =
        row["terms"]["OnDemand"]["2VJZ7QH5KEHZ2VCM.JRTCKXETXF"]["priceDimensions"].as_object_mut().unwrap();
    dimensions.insert(
        "volume".to_owned(),
        json!({"unit": "1K tokens", "beginRange": "200000", "pricePerUnit": {"USD": "0.0001"}}),
    );
    let items = vec![row.to_string(), nova_pro("0.0008", "0.0032")[1].clone()];
    let read = read(&items);
    assert!(read.suspects.is_empty());
    assert_eq!(read.groups["amazon.nova-pro-v1:0"][0].card.base.input, Some(800_000));
}

#[test]
fn of_several_terms_the_one_in_force_counts() {
    let mut row = item(
        &json!({"model": "Nova Pro", "regionCode": "us-east-1", "usagetype": "X-NovaPro-input-tokens"}),
        "1K tokens",
        "0.0008",
    );
    for (date, dollars) in [("2025-01-01T00:00:00Z", "0.0007"), ("2026-12-01T00:00:00Z", "0.0009")] {
        let prices = json!({"d": {"unit": "1K tokens", "beginRange": "0", "pricePerUnit": {"USD": dollars}}});
        row["terms"]["OnDemand"][date] = json!({"effectiveDate": date, "priceDimensions": prices});
    }
    let read = read(&[row.to_string(), nova_pro("0.0008", "0.0032")[1].clone()]);
    assert!(read.suspects.is_empty());
    let card = &read.groups["amazon.nova-pro-v1:0"][0].card;
    assert_eq!((card.base.input, card.effective_from), (Some(800_000), Some(at("2026-11-01T00:00:00Z"))));
}

#[test]
fn duplicates_are_fine_and_contradictions_are_not_believed() {
    let twice = accept(&[both(), both()].concat(), None).unwrap();
    assert!(twice.quarantined.is_empty());
    let torn = accept(&[both(), nova_lite("eu-west-1"), nova_pro("0.0009", "0.0032")].concat(), None).unwrap();
    assert_eq!(torn.quarantined, BTreeMap::from([("amazon.nova-pro-v1:0".into(), Quarantine::Contradiction)]));
    assert_eq!(prices(&torn.list, "amazon.nova-pro-v1:0", None), None, "the embedded price counts");
    assert_eq!(prices(&torn.list, "amazon.nova-lite-v1:0", None), Some((60_000, 240_000)));
}

#[test]
fn a_jump_keeps_the_old_price_of_that_model_with_its_old_version() {
    let old = accept(&both(), None).unwrap().list;
    let later = |items: Vec<String>| -> Vec<String> {
        items.into_iter().map(|item| item.replace(PUBLISHED, "2026-11-21T00:00:00Z")).collect()
    };
    let tenfold = later([nova_pro("0.0080", "0.0032"), nova_lite("us-east-1"), nova_lite("us-west-2")].concat());
    let jumped = accept(&tenfold, Some(&old)).unwrap();
    assert_eq!(jumped.quarantined, BTreeMap::from([("amazon.nova-pro-v1:0".into(), Quarantine::Jump)]));
    let (rates, source) = priced(&jumped.list, "amazon.nova-pro-v1:0", None, ServiceTier::Default).unwrap();
    assert_eq!((rates.input, source), (Some(800_000), PriceSource::Cached));
    assert_eq!(&*jumped.list.groups["amazon.nova-pro-v1:0"].version, PUBLISHED);
    assert_eq!(&*jumped.list.version, "2026-11-21T00:00:00Z");
    // Five times is a change, and against no earlier list the embedded prices are the measure.
    assert!(
        accept(&later([nova_pro("0.0040", "0.0032"), nova_lite("us-east-1")].concat()), Some(&old))
            .unwrap()
            .quarantined
            .is_empty()
    );
    assert_eq!(accept(&tenfold, None).unwrap().quarantined.len(), 1);
}

#[test]
fn what_is_no_longer_published_stays_for_a_while_and_tomorrows_price_waits() {
    let old = accept(&both(), None).unwrap().list;
    let without_west = [nova_pro("0.0009", "0.0032"), nova_lite("us-east-1")].concat();
    let kept = accept(&without_west, Some(&old)).unwrap();
    assert_eq!(kept.kept, 1);
    assert_eq!(kept.list.groups["amazon.nova-lite-v1:0"].rows.len(), 2);
    assert_eq!(kept.list.groups["amazon.nova-pro-v1:0"].rows.len(), 1, "replaced, not kept beside");
    let tomorrow: Vec<_> =
        both().into_iter().map(|item| item.replace("2026-11-01T", "2026-12-01T").replace("0.0008", "0.0009")).collect();
    let waiting = accept(&tomorrow, Some(&old)).unwrap().list;
    assert_eq!(prices(&waiting, "amazon.nova-pro-v1:0", None).unwrap().0, 800_000);
    let much_later = at("2027-03-01T00:00:00Z");
    assert!(waiting.without_stale(much_later).is_empty());
}

#[test]
fn a_publication_is_refused_whole() {
    let old = accept(&both(), None).unwrap().list;
    let undated: Vec<_> = both().into_iter().map(|item| item.replace("publicationDate", "other")).collect();
    assert_eq!(accept(&undated, None).unwrap_err(), Refusal::Undated);
    let stale: Vec<_> = both().into_iter().map(|item| item.replace(PUBLISHED, "2026-10-01T00:00:00Z")).collect();
    assert!(matches!(accept(&stale, Some(&old)), Err(Refusal::Older { .. })));
    assert!(matches!(accept(&nova_pro("0.0008", "0.0032"), Some(&old)), Err(Refusal::Shrunk { rows: 1, before: 3 })));
    assert!(matches!(accept(&[], None), Err(Refusal::Undated)));
    assert!(matches!(accept(&nova_pro("9.0", "9.0"), None), Err(Refusal::MostlyQuarantined { .. })));
    let limits = Limits { min_rows: 4, keep_for: SignedDuration::from_hours(1) };
    let few = validate(read(&both()), None, &embedded().unwrap(), limits, now());
    assert_eq!(few.unwrap_err(), Refusal::TooFew { rows: 3, min: 4 });
}

#[test]
fn zero_and_incomplete_prices_are_never_free() {
    let zero = read(&nova_pro("0.0000000000", "0.0032"));
    assert_eq!(zero.skipped, BTreeMap::from([(Skip::ZeroPrice, 1)]));
    assert_eq!(zero.suspects["amazon.nova-pro-v1:0"], Quarantine::Incomplete);
    // An embedding has no output, and says nothing about it.
    let embedding =
        [native("Titan Embeddings V2", "us-east-1", "USE1-TitanEmbeddingV2-Text-input-tokens", "0.0000200000")];
    let list = accept(&embedding, None).unwrap().list;
    assert_eq!(prices(&list, "amazon.titan-embed-text-v2:0", None), Some((20_000, 0)));
}

#[test]
fn a_book_has_no_more_rows_than_prices_differ() {
    let items: Vec<_> = ["us-east-1", "us-west-2", "eu-west-1"].into_iter().flat_map(nova_lite).collect();
    let list = accept(&items, None).unwrap().list;
    let books: Vec<PriceBook> = list.books(PriceSource::PricingApi).unwrap();
    assert_eq!(books[0].len(), 3, "in the region, through the profiles of the US and of Europe");
}
