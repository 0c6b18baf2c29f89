//! Values for the tests of this store.

use uuid::Uuid;

use crate::domain::ids::{OrgId, RequestId};
use crate::domain::money::PicoUsd;
use crate::domain::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{CallStatus, CostSource, RecordPricing, UsageRecord};

/// A submission of `shop`, charged to `premium` on 2026-01-23. Shard and fingerprint follow from its number.
pub(super) fn usage(n: u8) -> UsageRecord {
    UsageRecord {
        org_id: OrgId(Uuid::from_u128(7)),
        app_id: "shop".parse().unwrap(),
        request_id: RequestId(Uuid::from_u128(n.into())),
        fingerprint: [n; 32],
        model_label: "premium".parse().unwrap(),
        day: "2026-01-23".parse().unwrap(),
        timestamp: "2026-01-23T11:59:59.123Z".parse().unwrap(),
        recorded_at: "2026-01-23T12:00:00.123Z".parse().unwrap(),
        status: CallStatus::Ok,
        cost_source: CostSource::Server,
        cost: PicoUsd::new(1_500_000),
        server_cost: Some(PicoUsd::new(1_500_000)),
        tokens: TokenCounts { input: 11, output: 22, cache_read: 33, cache_write: 44, cache_write_1h: 4 },
        cache_ttl_assumed: false,
        pricing: RecordPricing {
            status: PricingStatus::Priced,
            source: Some(PriceSource::Embedded),
            version: Some("2026-01-01".to_owned()),
            model_id: "anthropic.claude-sonnet-4-20250514-v1:0".to_owned(),
        },
        calling_region: None,
        service_tier: ServiceTier::Default,
        latency: Latency::Standard,
        shard_id: n % 64,
    }
}

/// The submission without a price.
pub(super) fn unpriced(n: u8) -> UsageRecord {
    let mut record = usage(n);
    record.cost = PicoUsd::ZERO;
    record.server_cost = None;
    record.pricing.status = PricingStatus::Unpriced;
    record
}
