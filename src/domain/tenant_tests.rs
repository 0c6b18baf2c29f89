#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::catalog::{LabelEntry, LabelKind};

fn label(text: &str) -> ModelLabel {
    text.parse().unwrap()
}

fn quotas(pairs: &[(&str, u64)]) -> Quotas {
    pairs.iter().map(|(name, quota)| (label(name), MicroUsd(*quota))).collect()
}

fn catalog() -> LabelCatalog {
    let entry = LabelEntry {
        kind: LabelKind::Model,
        bedrock_model_id: "amazon.nova-micro-v1:0".into(),
        description: String::new(),
        price_override: None,
    };
    LabelCatalog::new(["premium", "standard"].map(|name| (label(name), entry.clone())).into())
}

fn org_config() -> OrgConfig {
    OrgConfig {
        org_name: "Acme".into(),
        timezone: "Europe/Berlin".into(),
        quota_scope: QuotaScope::App,
        model_ordering: vec![label("premium"), label("standard")],
        quotas: quotas(&[("premium", 10), ("standard", 20)]),
        monthly_quotas: quotas(&[("premium", 100)]),
        agg_shard_count: 8,
        overrides: Overrides { tight_mode_threshold_pct: Some(90), ..Overrides::default() },
        rate_limits: OrgRateLimits::default(),
    }
}

fn app_config() -> AppConfig {
    AppConfig {
        app_name: "Chat".into(),
        model_ordering: None,
        quotas: Some(quotas(&[("premium", 3)])),
        monthly_quotas: None,
        overrides: Overrides { sticky_fallback_enabled: Some(false), ..Overrides::default() },
    }
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

fn tenant(scope: QuotaScope) -> Effective {
    let now = Timestamp::UNIX_EPOCH;
    let org_id = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
    let config = OrgConfig { quota_scope: scope, ..org_config() };
    let org = Org { org_id, config, version: 1, created_at: now, updated_at: now };
    let app_id: AppId = "chat".parse().unwrap();
    let app = App { org_id, app_id, config: app_config(), version: 1, created_at: now, updated_at: now };
    effective(&org, Some(&app), &DEFAULTS).unwrap()
}

#[test]
fn an_application_inherits_what_it_does_not_set_label_by_label() {
    let effective = tenant(QuotaScope::App);
    assert_eq!(effective.quotas.value, quotas(&[("premium", 3), ("standard", 20)]));
    assert_eq!(effective.quotas.source, ValueSource::App);
    assert_eq!(effective.monthly_quotas.source, ValueSource::Org);
    assert_eq!(effective.tight_mode_threshold_pct, Sourced { value: 90, source: ValueSource::Org });
    assert_eq!(effective.sticky_fallback_enabled, Sourced { value: false, source: ValueSource::App });
    assert_eq!(effective.refresh_interval_normal_secs, Sourced { value: 300, source: ValueSource::Default });
    assert_eq!(effective.quota_owner(), effective.scope);
}

#[test]
fn with_scope_org_the_organizations_quotas_apply_and_its_scope_owns_them() {
    let effective = tenant(QuotaScope::Org);
    assert_eq!(effective.quotas.value, quotas(&[("premium", 10), ("standard", 20)]));
    assert_eq!(effective.quotas.source, ValueSource::Org);
    assert_eq!(effective.quota_owner(), Scope::org(effective.scope.org_id));
}

#[test]
fn an_impossible_organization_is_refused_with_the_field_named() {
    let refused = |change: fn(&mut OrgConfig)| {
        let mut config = org_config();
        change(&mut config);
        validate_org(&config, &catalog()).unwrap_err().field
    };
    assert_eq!(validate_org(&org_config(), &catalog()), Ok(()));
    assert_eq!(refused(|c| c.org_name = " ".into()), "org_name");
    assert_eq!(refused(|c| c.org_name = "a\nb".into()), "org_name");
    assert_eq!(refused(|c| c.timezone = "Mars/Base".into()), "timezone");
    assert_eq!(refused(|c| c.agg_shard_count = 9), "overrides.agg_shard_count");
    assert_eq!(refused(|c| c.model_ordering.clear()), "model_ordering");
    assert_eq!(refused(|c| c.model_ordering.push(label("premium"))), "model_ordering[2]");
    assert_eq!(refused(|c| c.model_ordering.push(label("huge"))), "model_ordering[2]");
    assert_eq!(
        refused(|c| {
            c.quotas.remove(&label("standard"));
        }),
        "quotas.standard"
    );
    assert_eq!(
        refused(|c| {
            c.quotas.insert(label("premium"), MicroUsd(u64::MAX));
        }),
        "quotas.premium"
    );
    assert_eq!(refused(|c| c.overrides.tight_mode_threshold_pct = Some(49)), "overrides.tight_mode_threshold_pct");
    assert_eq!(refused(|c| c.overrides.refresh_interval_tight_secs = Some(0)), "overrides.refresh_interval_tight_secs");
    assert_eq!(refused(|c| c.rate_limits.usage = Some(0)), "rate_limits.usage");
}

#[test]
fn an_application_may_order_its_own_profiles_but_needs_a_quota_for_each_label_in_effect() {
    let profiles = BTreeSet::from([label("my-profile")]);
    let mut config = app_config();
    config.model_ordering = Some(vec![label("my-profile"), label("standard")]);
    let refused = validate_app(&config, &org_config(), &catalog(), &profiles).unwrap_err();
    assert_eq!(refused.field, "quotas.my-profile");
    config.quotas = Some(quotas(&[("my-profile", 1)]));
    assert_eq!(validate_app(&config, &org_config(), &catalog(), &profiles), Ok(()));
    // With scope ORG the application's own quotas do not count.
    let shared = OrgConfig { quota_scope: QuotaScope::Org, ..org_config() };
    assert_eq!(validate_app(&config, &shared, &catalog(), &profiles).unwrap_err().field, "quotas.my-profile");
    assert_eq!(
        validate_app(&config, &org_config(), &catalog(), &BTreeSet::new()).unwrap_err().field,
        "model_ordering[0]"
    );
}

#[test]
fn a_configuration_stored_before_there_were_rate_limits_can_be_read() {
    let written = serde_json::to_value(org_config()).unwrap();
    assert!(written.get("rate_limits").is_none());
    assert_eq!(serde_json::from_value::<OrgConfig>(written).unwrap(), org_config());
    let limited =
        OrgConfig { rate_limits: OrgRateLimits { token: Some(7), ..OrgRateLimits::default() }, ..org_config() };
    let written = serde_json::to_value(&limited).unwrap();
    assert_eq!(serde_json::from_value::<OrgConfig>(written).unwrap(), limited);
}
