#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::ids::Scope;
use crate::domain::money::MicroUsd;
use crate::domain::quota::QuotaPeriod;
use crate::domain::rate_limits::{OrgRateLimits, RateLimits};
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, Quotas, TenantDefaults, effective};

const DEFAULTS: TenantDefaults = TenantDefaults {
    tight_mode_threshold_pct: 95,
    sticky_fallback_enabled: true,
    exhausted_policy: ExhaustedPolicy::Reject,
    refresh_interval_normal_secs: 300,
    refresh_interval_tight_secs: 60,
    agg_shard_count: 8,
    rate_limits: RateLimits::DEFAULT,
};

fn label(text: &str) -> ModelLabel {
    text.parse().unwrap()
}

fn quotas(pairs: &[(&str, u64)]) -> Quotas {
    pairs.iter().map(|(name, quota)| (label(name), MicroUsd(*quota))).collect()
}

/// The organization's configuration, or that of its application `chat`.
fn configuration(quota_scope: QuotaScope, of_app: bool) -> Effective {
    let (created_at, updated_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let org_id = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
    let config = OrgConfig {
        org_name: "Acme".into(),
        timezone: "Europe/Berlin".into(),
        quota_scope,
        model_ordering: vec![label("premium"), label("standard")],
        quotas: quotas(&[("premium", 100), ("standard", 100), ("spare", 50)]),
        monthly_quotas: quotas(&[("premium", 1_000), ("spare", 500)]),
        agg_shard_count: 8,
        overrides: Overrides::default(),
        rate_limits: OrgRateLimits::default(),
    };
    let org = Org { org_id, config, version: 1, created_at, updated_at };
    let config = AppConfig {
        app_name: "Chat".into(),
        model_ordering: None,
        quotas: None,
        monthly_quotas: None,
        overrides: Overrides::default(),
    };
    let app = App { org_id, app_id: "chat".parse().unwrap(), config, version: 1, created_at, updated_at };
    effective(&org, of_app.then_some(&app), &DEFAULTS).unwrap()
}

fn model_ids() -> BTreeMap<ModelLabel, String> {
    [(label("premium"), "amazon.nova-micro-v1:0".to_owned())].into()
}

fn counters(micros: u128, requests: u64) -> Counters {
    Counters { cost: PicoUsd::new(micros * 1_000_000), requests, ..Counters::default() }
}

fn spend(day_micros: u128, month_micros: u128) -> SpendTotals {
    SpendTotals { day: counters(day_micros, u64::from(day_micros > 0)), month: counters(month_micros, 5) }
}

fn seen(effective: Effective, totals: &[(&str, SpendTotals)], activity: DayActivity) -> DayAggregates {
    let day = "2026-01-23".parse().unwrap();
    let totals = totals.iter().map(|(name, spend)| (label(name), *spend)).collect();
    let quotas = ViewQuotas::of(&effective);
    assemble(&model_ids(), effective, day, &totals, &quotas, activity, ActiveModel::default())
}

#[test]
fn the_ordering_and_whatever_was_used_on_the_day_are_shown() {
    let totals = [("premium", spend(50, 60)), ("retired", spend(7, 7)), ("earlier", spend(0, 9))];
    let seen = seen(configuration(QuotaScope::Org, false), &totals, DayActivity::default());
    let shown: Vec<_> = seen.labels.keys().map(ModelLabel::as_str).collect();
    assert_eq!(shown, ["premium", "retired", "standard"]);
    assert_eq!((seen.total_cost, seen.total_quota), (PicoUsd::new(57_000_000), MicroUsd(200)));
    assert_eq!(seen.total_pct, QuotaPct(2_850));
    assert_eq!(seen.month.cost, PicoUsd::new(76_000_000), "labels used earlier in the month count");
    assert_eq!(seen.month.quota, Some(MicroUsd(1_500)));
}

#[test]
fn a_label_with_usage_but_without_a_quota_is_normal() {
    let seen = seen(configuration(QuotaScope::Org, false), &[("retired", spend(7, 7))], DayActivity::default());
    let retired = seen.labels.get(&label("retired")).unwrap();
    assert_eq!((retired.quota, retired.period, retired.pct), (None, None, QuotaPct(0)));
    assert_eq!((retired.status, &retired.bedrock_model_id), (QuotaStatus::Normal, &None));
}

#[test]
fn the_binding_period_is_named_and_the_quota_stays_the_daily_one() {
    let seen = seen(configuration(QuotaScope::Org, false), &[("premium", spend(10, 1_000))], DayActivity::default());
    let premium = seen.labels.get(&label("premium")).unwrap();
    assert_eq!((premium.status, premium.period), (QuotaStatus::Exceeded, Some(QuotaPeriod::Month)));
    assert_eq!((premium.quota, premium.month.quota), (Some(MicroUsd(100)), Some(MicroUsd(1_000))));
    assert_eq!(premium.pct, QuotaPct(10_000));
}

#[test]
fn an_application_says_whether_its_quotas_are_shared() {
    let shared = seen(configuration(QuotaScope::Org, true), &[], DayActivity::default());
    assert_eq!((shared.quota_shared, shared.app_name.as_deref(), shared.apps), (true, Some("Chat"), None));
    assert!(!seen(configuration(QuotaScope::App, true), &[], DayActivity::default()).quota_shared);
    let org = seen(configuration(QuotaScope::Org, false), &[], DayActivity::default());
    assert_eq!((org.quota_shared, org.app_name, org.scope), (false, None, Scope::org(shared.scope.org_id)));
}

#[test]
fn applications_are_totalled_over_their_labels_and_the_last_change_is_kept() {
    let mut activity = DayActivity::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    for (app, model, micros, updated_at) in
        [("a", "premium", 1, at(5)), ("a", "standard", 2, at(9)), ("b", "premium", 4, at(7))]
    {
        let total = DailyTotal {
            day: "2026-01-23".parse().unwrap(),
            app_id: Some(app.parse().unwrap()),
            model_label: label(model),
            counters: counters(micros, 1),
            updated_at,
        };
        activity.add(&total).unwrap();
    }
    let seen = seen(configuration(QuotaScope::App, false), &[], activity);
    assert_eq!(seen.updated_at, Some(at(9)));
    let app = |micros: u128, requests| AppAggregates { cost: PicoUsd::new(micros * 1_000_000), requests };
    let expected = [("a", app(3, 2)), ("b", app(4, 1))].map(|(name, app)| (name.parse().unwrap(), app));
    assert_eq!(seen.apps.unwrap(), expected.into());
}
