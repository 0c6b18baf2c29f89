//! Prices worked by hand from the published ones: model × region × tier × size → exact cost.

use std::sync::Arc;

use bedrock_cost_keeper::domain::pricing::{Latency, PriceCatalog, PriceQuery, PricingStatus, ServiceTier, embedded};
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use jiff::Timestamp;

use PricingStatus::{Estimated, Priced, Unpriced};
use ServiceTier::{Batch, Default as Standard, Flex, Priority};

/// One million tokens: then a cost in micro-USD is the price per million in micro-USD.
const M: u64 = 1_000_000;

/// Input, output, cache read, cache write (all), the part of it kept for one hour.
type Tokens = [u64; 5];

/// Model id, calling region, tier, tokens, expected cost in micro-USD (always whole here), expected status.
type Case = (&'static str, Option<&'static str>, ServiceTier, Tokens, u64, PricingStatus);

const IN: Tokens = [M, 0, 0, 0, 0];
const OUT: Tokens = [0, M, 0, 0, 0];
const READ: Tokens = [0, 0, M, 0, 0];
const WRITE: Tokens = [0, 0, 0, M, 0];
const WRITE_1H: Tokens = [0, 0, 0, M, M];
/// A prompt of exactly 200,000 tokens, and one token more.
const AT_200K: Tokens = [100_000, 0, 60_000, 40_000, 0];
const ABOVE_200K: Tokens = [100_001, 0, 60_000, 40_000, 0];

const NOVA_PRO: &str = "amazon.nova-pro-v1:0";
const SONNET_45: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const SONNET_46: &str = "anthropic.claude-sonnet-4-6";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Published figures, USD per million: Nova Pro 0.80 / 3.20.
    (NOVA_PRO, None, Standard, IN, 800_000, Priced),
    (NOVA_PRO, None, Standard, OUT, 3_200_000, Priced),
    ("amazon.nova-pro-v1:0:300k", None, Standard, IN, 800_000, Priced),
    ("amazon.nova-pro-v1", None, Standard, IN, 800_000, Priced),
    // 1,500 × 0.80 + 800 × 3.20 = 1,200 + 2,560 micro-USD.
    (NOVA_PRO, None, Standard, [1_500, 800, 0, 0, 0], 3_760, Priced),
    // Nova reads its cache at a quarter and writes it for nothing; it has no one-hour price, so input stands in.
    (NOVA_PRO, None, Standard, READ, 200_000, Priced),
    (NOVA_PRO, None, Standard, WRITE, 0, Priced),
    (NOVA_PRO, None, Standard, WRITE_1H, 800_000, Estimated),
    (NOVA_PRO, None, Priority, IN, 1_400_000, Priced),
    (NOVA_PRO, None, Priority, READ, 350_000, Priced),
    (NOVA_PRO, None, Flex, OUT, 1_600_000, Priced),
    (NOVA_PRO, None, Batch, IN, 400_000, Priced),
    // Batch publishes no cache price: the dearest input-side price, its own input, stands in.
    (NOVA_PRO, None, Batch, READ, 400_000, Estimated),
    ("eu.amazon.nova-pro-v1:0", Some("eu-west-1"), Standard, IN, 1_050_000, Priced),
    ("eu.amazon.nova-pro-v1:0", None, Flex, OUT, 2_100_000, Priced),
    ("apac.amazon.nova-pro-v1:0", None, Standard, OUT, 3_360_000, Priced),
    // No batch price for the APAC profile: its standard price stands in.
    ("apac.amazon.nova-pro-v1:0", None, Batch, OUT, 3_360_000, Estimated),
    // No Japanese or global profile price: the in-region one stands in, GovCloud's where that is the calling region.
    ("jp.amazon.nova-pro-v1:0", None, Standard, IN, 800_000, Estimated),
    ("global.amazon.nova-pro-v1:0", Some("us-gov-west-1"), Standard, IN, 960_000, Estimated),
    (NOVA_PRO, Some("us-gov-east-1"), Standard, OUT, 3_840_000, Priced),
    (NOVA_PRO, Some("us-west-2"), Standard, OUT, 3_200_000, Priced),
    ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-pro-v1:0", None, Standard, IN, 960_000, Priced),
    ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0", None, Standard, IN, 1_050_000, Priced),
    // Nova Micro 0.035 / 0.14.
    ("amazon.nova-micro-v1:0", None, Standard, IN, 35_000, Priced),
    ("amazon.nova-micro-v1:0", None, Standard, OUT, 140_000, Priced),
    ("amazon.nova-micro-v1:0", None, Standard, [10, 0, 0, 0, 0], 0, Priced), // 0.35 micro-USD, rounded here only
    // Nova 2 Lite in the US 0.33 / 2.75, at the global profile 0.30 / 2.50.
    ("amazon.nova-2-lite-v1:0", None, Standard, IN, 330_000, Priced),
    ("us.amazon.nova-2-lite-v1:0", None, Standard, OUT, 2_750_000, Priced),
    ("us.amazon.nova-2-lite-v1:0", None, Priority, IN, 577_500, Priced),
    ("global.amazon.nova-2-lite-v1:0", None, Standard, OUT, 2_500_000, Priced),
    ("global.amazon.nova-2-lite-v1:0", None, Batch, OUT, 1_250_000, Priced),
    ("global.amazon.nova-2-lite-v1:0", None, Flex, OUT, 2_500_000, Estimated),
    ("jp.amazon.nova-2-lite-v1:0", None, Flex, READ, 49_500, Priced),
    // Claude Sonnet 4.6: global 3 / 15, in-region and geographic 1.1×: 3.30 / 16.50; one-hour cache write 6.60.
    ("global.anthropic.claude-sonnet-4-6", None, Standard, IN, 3_000_000, Priced),
    ("global.anthropic.claude-sonnet-4-6", None, Standard, OUT, 15_000_000, Priced),
    (SONNET_46, None, Standard, IN, 3_300_000, Priced),
    (SONNET_46, None, Standard, OUT, 16_500_000, Priced),
    (SONNET_46, None, Standard, WRITE_1H, 6_600_000, Priced),
    (SONNET_46, None, Standard, WRITE, 4_125_000, Priced),
    ("eu.anthropic.claude-sonnet-4-6", None, Standard, READ, 330_000, Priced),
    // Half a million written for an hour, half for five minutes: 3.30 + 2.0625.
    (SONNET_46, None, Standard, [0, 0, 0, M, M / 2], 5_362_500, Priced),
    // Long context: at 200,000 the usual price, one token above the dearer one for the whole request.
    // 100,000 × 3.30 + 60,000 × 0.33 + 40,000 × 4.125 = 330,000 + 19,800 + 165,000.
    (SONNET_45, None, Standard, AT_200K, 514_800, Priced),
    // 100,001 × 6.60 + 60,000 × 0.66 + 40,000 × 8.25 = 660,006.6 + 39,600 + 330,000 = 1,029,606.6, half-up.
    (SONNET_45, None, Standard, ABOVE_200K, 1_029_607, Priced),
    ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", None, Standard, [200_001, M, 0, 0, 0], 1_200_006 + 22_500_000, Priced),
    (SONNET_45, None, Batch, [300_000, 0, 0, 0, 0], 495_000, Priced),
    ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", None, Standard, OUT, 18_000_000, Priced),
    // Older Claude: the same price everywhere.
    ("us.anthropic.claude-sonnet-4-20250514-v1:0", None, Standard, [100_000, 0, 0, 0, 0], 300_000, Priced),
    ("global.anthropic.claude-sonnet-4-20250514-v1:0", None, Standard, [100_000, 0, 0, 0, 0], 300_000, Priced),
    ("anthropic.claude-sonnet-4-20250514-v1:0", None, Standard, OUT, 15_000_000, Priced),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", Some("us-gov-east-1"), Standard, OUT, 6_000_000, Priced),
    // Embeddings cost nothing on the output side, which is not "unknown".
    ("amazon.titan-embed-text-v2:0", None, Standard, [M, M, 0, 0, 0], 20_000, Priced),
    ("amazon.titan-embed-text-v2:0", Some("us-gov-west-1"), Standard, IN, 110_000, Priced),
    // Sold through the OpenAI-compatible endpoint only.
    ("anthropic.claude-haiku-4-5", None, Batch, IN, 500_000, Priced),
    // Priced per image: tokens say nothing about its cost.
    ("amazon.nova-canvas-v1:0", None, Standard, IN, 0, Unpriced),
    // Nobody's model, and an ARN that only AWS can explain.
    ("acme.thinker-v1:0", None, Standard, IN, 0, Unpriced),
    ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", None, Standard, IN, 0, Unpriced),
];

#[test]
fn prices_worked_by_hand_come_out() {
    let catalog = PriceCatalog::new(vec![Arc::new(embedded().unwrap())]);
    assert!(CASES.len() >= 50, "{}", CASES.len());
    for (id, region, tier, [input, output, cache_read, cache_write, cache_write_1h], expected, status) in CASES {
        let tokens = TokenCounts {
            input: *input,
            output: *output,
            cache_read: *cache_read,
            cache_write: *cache_write,
            cache_write_1h: *cache_write_1h,
        };
        let quote = catalog.quote(
            &PriceQuery {
                model_id: id,
                region: *region,
                tier: *tier,
                latency: Latency::Standard,
                tokens,
                cache_ttl_assumed: false,
                at: Timestamp::UNIX_EPOCH,
            },
            None,
        );
        assert_eq!(
            (quote.cost.to_micros_half_up(), quote.status),
            (*expected, *status),
            "{id} {region:?} {tier:?} {tokens:?}"
        );
    }
}

#[test]
fn latency_optimized_inference_without_a_price_of_its_own_is_an_estimate() {
    let catalog = PriceCatalog::new(vec![Arc::new(embedded().unwrap())]);
    let query = PriceQuery {
        model_id: NOVA_PRO,
        region: None,
        tier: Standard,
        latency: Latency::Optimized,
        tokens: TokenCounts { input: M, ..TokenCounts::default() },
        cache_ttl_assumed: false,
        at: Timestamp::UNIX_EPOCH,
    };
    let quote = catalog.quote(&query, None);
    assert_eq!((quote.cost.to_micros_half_up(), quote.status), (800_000, Estimated));
}

#[test]
fn an_assumed_time_to_live_makes_a_cache_write_an_estimate() {
    let catalog = PriceCatalog::new(vec![Arc::new(embedded().unwrap())]);
    let status = |cache_write, assumed| {
        let tokens = TokenCounts { input: 1, cache_write, ..TokenCounts::default() };
        let query = PriceQuery {
            model_id: SONNET_46,
            region: None,
            tier: Standard,
            latency: Latency::Standard,
            tokens,
            cache_ttl_assumed: assumed,
            at: Timestamp::UNIX_EPOCH,
        };
        catalog.quote(&query, None).status
    };
    assert_eq!((status(5, true), status(0, true), status(5, false)), (Estimated, Priced, Priced));
}
