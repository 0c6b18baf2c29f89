#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::tests::{at, read, written};
use super::verify;
use crate::domain::calendar::Day;
use crate::domain::credential::{PreviousSecret, SecretHash};
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::money::{CostDrift, MicroUsd, PicoUsd};
use crate::domain::profile::InferenceProfile;
use crate::domain::rate_limits::{OrgRateLimits, PER_MINUTE_RANGE};
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, QuotaScope};
use crate::domain::usage::Counters;
use crate::service::moving::lines::{Content, MovedApp, MovedCredential, MovedOrg, MovedTotal};

fn labels() -> impl Strategy<Value = ModelLabel> {
    "[a-z][a-z0-9_-]{0,49}".prop_map(|text| text.parse().unwrap())
}

fn apps() -> impl Strategy<Value = AppId> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,63}".prop_map(|text| text.parse().unwrap())
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (-62_000_000_000_000_i64..253_000_000_000_000).prop_map(at)
}

fn days() -> impl Strategy<Value = Day> {
    (1..=9999_u32, 1..=12_u32, 1..=28_u32)
        .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}").parse().unwrap())
}

fn quotas() -> impl Strategy<Value = BTreeMap<ModelLabel, MicroUsd>> {
    proptest::collection::btree_map(labels(), (0..=i64::MAX.unsigned_abs()).prop_map(MicroUsd), 0..4)
}

fn overrides() -> impl Strategy<Value = Overrides> {
    let policy = prop_oneof![Just(ExhaustedPolicy::Reject), Just(ExhaustedPolicy::Last)];
    (any::<Option<u8>>(), any::<Option<bool>>(), proptest::option::of(policy), any::<[Option<u32>; 2]>()).prop_map(
        |(tight_mode_threshold_pct, sticky_fallback_enabled, exhausted_policy, [normal, tight])| Overrides {
            tight_mode_threshold_pct,
            sticky_fallback_enabled,
            exhausted_policy,
            refresh_interval_normal_secs: normal,
            refresh_interval_tight_secs: tight,
        },
    )
}

fn credentials() -> impl Strategy<Value = MovedCredential> {
    let hash = || any::<([u8; 16], [u8; 32])>().prop_map(|(salt, hash)| SecretHash { salt, hash });
    let previous = (hash(), instants()).prop_map(|(hash, expires_at)| PreviousSecret { hash, expires_at });
    (hash(), proptest::option::of(previous), any::<u64>(), instants())
        .prop_map(|(current, previous, version, created_at)| MovedCredential { current, previous, version, created_at })
}

fn rate_limits() -> impl Strategy<Value = OrgRateLimits> {
    let limit = || proptest::option::of(PER_MINUTE_RANGE);
    (limit(), limit(), limit(), limit(), limit(), limit(), limit()).prop_map(
        |(token, refresh, revoke, aggregates, model_selection, usage, batches)| OrgRateLimits {
            token,
            refresh,
            revoke,
            aggregates,
            model_selection,
            usage,
            batches,
        },
    )
}

fn orgs() -> impl Strategy<Value = Org> {
    let config = (
        any::<String>(),
        prop_oneof![Just("UTC"), Just("Pacific/Apia"), Just("America/New_York")],
        prop_oneof![Just(QuotaScope::Org), Just(QuotaScope::App)],
        proptest::collection::vec(labels(), 0..4),
        (quotas(), quotas()),
        prop_oneof![Just(8_u8), Just(16), Just(32), Just(64)],
        (overrides(), rate_limits()),
    )
        .prop_map(|(org_name, timezone, quota_scope, model_ordering, quotas, agg_shard_count, settings)| OrgConfig {
            org_name,
            timezone: timezone.to_owned(),
            quota_scope,
            model_ordering,
            quotas: quotas.0,
            monthly_quotas: quotas.1,
            agg_shard_count,
            overrides: settings.0,
            rate_limits: settings.1,
        });
    (any::<[u8; 16]>(), config, any::<u64>(), instants(), instants()).prop_map(
        |(id, config, version, created_at, updated_at)| Org {
            org_id: OrgId(uuid::Uuid::from_bytes(id)),
            config,
            version,
            created_at,
            updated_at,
        },
    )
}

fn app_configs() -> impl Strategy<Value = AppConfig> {
    let own = || proptest::option::of(quotas());
    (any::<String>(), proptest::option::of(proptest::collection::vec(labels(), 0..4)), own(), own(), overrides())
        .prop_map(|(app_name, model_ordering, quotas, monthly_quotas, overrides)| AppConfig {
            app_name,
            model_ordering,
            quotas,
            monthly_quotas,
            overrides,
        })
}

fn counters() -> impl Strategy<Value = Counters> {
    (any::<u128>(), any::<i128>(), any::<[u64; 7]>()).prop_map(|(cost, drift, counts)| {
        let [requests, errors, unpriced_requests, input_tokens, output_tokens, reads, writes] = counts;
        Counters {
            cost: PicoUsd::new(cost),
            drift: CostDrift::new(drift),
            requests,
            errors,
            unpriced_requests,
            input_tokens,
            output_tokens,
            cache_read_input_tokens: reads,
            cache_write_input_tokens: writes,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_value_survives_a_round_trip(
        org in orgs(),
        org_credential in credentials(),
        app_id in apps(),
        config in app_configs(),
        app_credential in credentials(),
        label in labels(),
        arn in "[a-z0-9]{12}",
        description in any::<String>(),
        day in days(),
        counters in counters(),
        instants in (instants(), instants()),
        version in any::<u64>(),
    ) {
        let org_id = org.org_id;
        let (created_at, updated_at) = instants;
        let app = App { org_id, app_id: app_id.clone(), config, version, created_at, updated_at };
        let arn = format!("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{arn}");
        let profile = InferenceProfile {
            org_id,
            app_id: app_id.clone(),
            profile_label: label.clone(),
            arn: arn.parse().unwrap(),
            description,
            created_at,
        };
        let contents = [
            Content::Org(Box::new(MovedOrg { org, credential: org_credential })),
            Content::App(Box::new(MovedApp { app, credential: app_credential })),
            Content::Profile(profile),
            Content::Total(MovedTotal { org_id, day, app_id, model_label: label, counters, updated_at }),
        ];
        prop_assert_eq!(read(&written(&contents)).unwrap(), contents);
    }

    #[test]
    fn anything_is_read_without_panic(text in "\\PC*", bytes in any::<Vec<u8>>()) {
        prop_assert!(verify(text.as_bytes()).is_err());
        prop_assert!(verify(&*bytes).is_err());
        let kinds = ["bedrock-cost-keeper-export", "org", "app", "profile", "total", "end"];
        for kind in kinds {
            let line = format!("{{\"kind\":\"{kind}\",{text}}}\n");
            prop_assert!(verify(line.as_bytes()).is_err());
        }
    }
}
