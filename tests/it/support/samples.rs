//! Values to store. Every field has a value that a careless store would lose or confuse.

use std::collections::BTreeMap;

use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::credential::{ClientCredential, PreviousSecret, SealedSecret, SecretHash};
use bedrock_cost_keeper::domain::ids::{AppId, ClientId, ModelLabel, OrgId, RequestId, Scope};
use bedrock_cost_keeper::domain::money::{MicroUsd, PicoUsd};
use bedrock_cost_keeper::domain::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
use bedrock_cost_keeper::domain::profile::InferenceProfile;
use bedrock_cost_keeper::domain::rate_limits::OrgRateLimits;
use bedrock_cost_keeper::domain::selection::{ExhaustedPolicy, FallbackReason, FallbackState};
use bedrock_cost_keeper::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, QuotaScope};
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use bedrock_cost_keeper::domain::usage::{CallStatus, CostSource, RecordPricing, UsageRecord};
use bedrock_cost_keeper::storage::NewClient;
use jiff::{Span, Timestamp};
use uuid::Uuid;

/// The instant most samples carry; with milliseconds, so that a store that drops them is found out.
pub(crate) const NOON: &str = "2026-01-23T12:00:00.123Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn noon() -> Timestamp {
    at(NOON)
}

/// `noon()` moved by some milliseconds.
pub(crate) fn noon_plus(millis: i64) -> Timestamp {
    noon().checked_add(Span::new().milliseconds(millis)).unwrap()
}

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

pub(crate) fn label(text: &str) -> ModelLabel {
    text.parse().unwrap()
}

pub(crate) fn app_id(text: &str) -> AppId {
    text.parse().unwrap()
}

pub(crate) fn org_id(n: u128) -> OrgId {
    OrgId(Uuid::from_u128(n))
}

/// The organization most tests use. Its first byte is above 0x7f: ids order as unsigned bytes.
pub(crate) fn acme() -> OrgId {
    org_id(0xac3e_0000_0000_4000_8000_0000_0000_0001)
}

pub(crate) fn org_scope() -> Scope {
    Scope::org(acme())
}

pub(crate) fn app_scope(app: &str) -> Scope {
    Scope::app(acme(), app_id(app))
}

pub(crate) fn org(org_id: OrgId) -> Org {
    Org {
        org_id,
        config: OrgConfig {
            org_name: "Acme \"Größe\" 🚀 'x'".to_owned(),
            timezone: "America/New_York".to_owned(),
            quota_scope: QuotaScope::App,
            model_ordering: vec![label("premium"), label("standard"), label("economy")],
            quotas: BTreeMap::from([
                (label("premium"), MicroUsd(i64::MAX.unsigned_abs())),
                (label("standard"), MicroUsd(0)),
                (label("economy"), MicroUsd(1)),
            ]),
            monthly_quotas: BTreeMap::from([(label("premium"), MicroUsd(7))]),
            agg_shard_count: 64,
            overrides: Overrides {
                tight_mode_threshold_pct: Some(90),
                sticky_fallback_enabled: Some(false),
                exhausted_policy: Some(ExhaustedPolicy::Last),
                refresh_interval_normal_secs: Some(86_400),
                refresh_interval_tight_secs: Some(1),
            },
            rate_limits: OrgRateLimits { token: Some(1), batches: Some(1_000_000), ..OrgRateLimits::default() },
        },
        version: 1,
        created_at: noon(),
        updated_at: noon_plus(1),
    }
}

pub(crate) fn app(org_id: OrgId, name: &str) -> App {
    App {
        org_id,
        app_id: app_id(name),
        config: AppConfig {
            app_name: format!("{name} % _ \\"),
            model_ordering: Some(vec![label("economy")]),
            quotas: Some(BTreeMap::from([(label("economy"), MicroUsd(5))])),
            monthly_quotas: None,
            overrides: Overrides::default(),
        },
        version: 1,
        created_at: noon(),
        updated_at: noon_plus(2),
    }
}

/// A profile of an application in [`acme`]; its ARN follows from `n`.
pub(crate) fn profile(app: &str, label_text: &str, n: u32) -> InferenceProfile {
    let arn = format!("arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:application-inference-profile/p{n}");
    InferenceProfile {
        org_id: acme(),
        app_id: app_id(app),
        profile_label: label(label_text),
        arn: arn.parse().unwrap(),
        description: format!("profile {n} % _ \\ 🚀 'x'"),
        created_at: noon_plus(i64::from(n)),
    }
}

pub(crate) fn hash(seed: u8) -> SecretHash {
    SecretHash { salt: [seed; 16], hash: [seed.wrapping_add(100); 32] }
}

/// A client without a sealed secret; everything about it depends on the seed.
pub(crate) fn client(scope: Scope, seed: u8) -> NewClient {
    NewClient {
        credential: ClientCredential {
            client_id: ClientId::of(scope),
            current: hash(seed),
            previous: None,
            token_epoch: epoch(seed),
            version: 1,
            created_at: noon(),
        },
        sealed: None,
    }
}

/// The client with a secret to be retrieved by the token whose hash is `[seed; 32]`, until `expires_at`.
pub(crate) fn sealed_client(scope: Scope, seed: u8, expires_at: Timestamp) -> NewClient {
    let client = client(scope, seed);
    let sealed = SealedSecret {
        token_hash: [seed; 32],
        client_id: client.credential.client_id.clone(),
        sealed: vec![seed, 0, 255],
        expires_at,
    };
    NewClient { sealed: Some(sealed), ..client }
}

pub(crate) fn previous(seed: u8) -> PreviousSecret {
    PreviousSecret { hash: hash(seed), expires_at: noon_plus(3_600_000) }
}

pub(crate) fn epoch(seed: u8) -> Uuid {
    Uuid::from_bytes([seed; 16])
}

pub(crate) fn state(to: &str, version: u64) -> FallbackState {
    FallbackState {
        model_label: label(to),
        model_index: 1,
        previous_model_label: label("premium"),
        reason: FallbackReason::QuotaExceeded(label("premium")),
        activated_at: noon(),
        version,
    }
}

pub(crate) fn request_id(n: u128) -> RequestId {
    RequestId(Uuid::from_u128(n))
}

/// A submission of `app` in [`acme`]: 1.5 micro-USD charged to `premium` on 2026-01-23. The fingerprint follows from the
/// request id.
pub(crate) fn usage(app: &str, request: u128) -> UsageRecord {
    let request_id = request_id(request);
    let mut fingerprint = [0x5a; 32];
    fingerprint[..16].copy_from_slice(request_id.0.as_bytes());
    UsageRecord {
        org_id: acme(),
        app_id: app_id(app),
        request_id,
        fingerprint,
        model_label: label("premium"),
        day: day("2026-01-23"),
        timestamp: noon_plus(-1_000),
        recorded_at: noon(),
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
        shard_id: 3,
    }
}

/// [`usage`] on another day.
pub(crate) fn usage_on(app: &str, request: u128, on: &str) -> UsageRecord {
    UsageRecord { day: day(on), ..usage(app, request) }
}

/// [`usage`] of another label.
pub(crate) fn usage_of(app: &str, request: u128, of: &str) -> UsageRecord {
    UsageRecord { model_label: label(of), ..usage(app, request) }
}

/// Another submission under the same id.
pub(crate) fn forged(record: &UsageRecord) -> UsageRecord {
    UsageRecord { fingerprint: [0xff; 32], ..record.clone() }
}
