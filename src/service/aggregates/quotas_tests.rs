#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use super::*;
use crate::domain::money::PicoUsd;
use crate::domain::quota::{QuotaPeriod, QuotaStatus};
use crate::domain::rate_limits::{OrgRateLimits, RateLimits};
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{App, AppConfig, Org, OrgConfig, Overrides, QuotaScope, TenantDefaults, effective};
use crate::domain::usage::Counters;

fn label(text: &str) -> ModelLabel {
    text.parse().unwrap()
}

fn quotas(pairs: &[(&str, u64)]) -> Quotas {
    pairs.iter().map(|(name, quota)| (label(name), MicroUsd(*quota))).collect()
}

const DEFAULTS: TenantDefaults = TenantDefaults {
    tight_mode_threshold_pct: 95,
    sticky_fallback_enabled: true,
    exhausted_policy: ExhaustedPolicy::Reject,
    refresh_interval_normal_secs: 300,
    refresh_interval_tight_secs: 60,
    agg_shard_count: 8,
    rate_limits: RateLimits::DEFAULT,
};

/// An application whose organization gives `premium` 10 a day; further quotas are its own.
fn app(daily: &[(&str, u64)], monthly: &[(&str, u64)]) -> Effective {
    let now = Timestamp::UNIX_EPOCH;
    let org_id = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
    let org = Org {
        org_id,
        config: OrgConfig {
            org_name: "Acme".into(),
            timezone: "UTC".into(),
            quota_scope: QuotaScope::App,
            model_ordering: vec![label("premium")],
            quotas: quotas(&[("premium", 10)]),
            monthly_quotas: Quotas::new(),
            agg_shard_count: 8,
            overrides: Overrides::default(),
            rate_limits: OrgRateLimits::default(),
        },
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let app = App {
        org_id,
        app_id: "chat".parse().unwrap(),
        config: AppConfig {
            app_name: "Chat".into(),
            model_ordering: None,
            quotas: Some(quotas(daily)),
            monthly_quotas: Some(quotas(monthly)),
            overrides: Overrides::default(),
        },
        version: 1,
        created_at: now,
        updated_at: now,
    };
    effective(&org, Some(&app), &DEFAULTS).unwrap()
}

fn summed(apps: &[Effective]) -> ViewQuotas {
    let mut sums = QuotaSums::default();
    apps.iter().for_each(|app| sums.add(app));
    sums.finish()
}

#[test]
fn a_label_s_quota_is_the_sum_over_applications_of_what_is_in_effect_for_each() {
    let view = summed(&[app(&[], &[]), app(&[("premium", 3), ("economy", 5)], &[])]);
    assert_eq!(view.daily, quotas(&[("premium", 13), ("economy", 5)]));
    assert_eq!((view.monthly, view.month_total), (Quotas::new(), None));
}

#[test]
fn without_applications_nothing_has_a_quota() {
    assert_eq!(summed(&[]), ViewQuotas::default());
}

#[test]
fn a_month_is_compared_only_where_every_application_has_a_monthly_quota() {
    let limited = app(&[], &[("premium", 100)]);
    let all = summed(&[limited.clone(), limited.clone()]);
    assert_eq!((all.monthly, all.month_total), (quotas(&[("premium", 200)]), Some(MicroUsd(200))));
    let one_unlimited = summed(&[limited, app(&[], &[])]);
    assert_eq!((one_unlimited.monthly, one_unlimited.month_total), (Quotas::new(), Some(MicroUsd(100))));
}

#[test]
fn a_sum_beyond_what_fits_saturates() {
    let huge = app(&[("premium", u64::MAX)], &[("premium", u64::MAX)]);
    let view = summed(&[huge.clone(), huge]);
    assert_eq!(view.daily, quotas(&[("premium", u64::MAX)]));
    assert_eq!(view.month_total, Some(MicroUsd(u64::MAX)));
}

#[test]
fn a_label_without_a_daily_quota_has_no_status() {
    let view = ViewQuotas::of(&app(&[("economy", 5)], &[("economy", 100)]));
    let spend = |month: u128| SpendTotals {
        day: Counters::default(),
        month: Counters { cost: PicoUsd::new(month), ..Counters::default() },
    };
    assert_eq!(view.evaluate(&label("gone"), &spend(7), 95), None);
    let economy = view.evaluate(&label("economy"), &spend(100_000_000), 95).unwrap();
    assert_eq!((economy.status, economy.period), (QuotaStatus::Exceeded, QuotaPeriod::Month));
}
