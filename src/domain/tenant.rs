//! Organizations, applications, and which configuration is in effect for whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::catalog::LabelCatalog;
use super::ids::{AppId, ModelLabel, OrgId, Scope};
use super::money::MicroUsd;
use super::rate_limits::{OrgRateLimits, RateLimits};
use super::selection::ExhaustedPolicy;

/// Quotas by label.
pub type Quotas = BTreeMap<ModelLabel, MicroUsd>;

/// Longest name of an organization or application, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// Most labels in an ordering or a quota map: a bound for reads and responses, far above any real fallback chain.
pub const MAX_LABELS: usize = 64;
/// Allowed `agg_shard_count` values; fixed at creation, because shards are part of counter keys.
pub const SHARD_COUNTS: [u8; 4] = [8, 16, 32, 64];
/// Allowed range of `tight_mode_threshold_pct`.
pub const TIGHT_THRESHOLD_RANGE: std::ops::RangeInclusive<u8> = 50..=100;
/// Allowed range of refresh intervals, in seconds: at least one, at most a day, which is when quotas reset.
pub const REFRESH_INTERVAL_RANGE: std::ops::RangeInclusive<u32> = 1..=86_400;

/// Whether quotas are spent by the whole organization together or by each application on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum QuotaScope {
    /// One quota, shared by all applications.
    Org,
    /// A quota for each application.
    App,
}

/// Settings an organization or an application may set; unset ones are inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Percentage of a quota from which a label is tight, 50–100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight_mode_threshold_pct: Option<u8>,
    /// Whether a fallback sticks until local midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_fallback_enabled: Option<bool>,
    /// What to answer when every label is exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_policy: Option<ExhaustedPolicy>,
    /// Advised seconds between checks in normal mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval_normal_secs: Option<u32>,
    /// Advised seconds between checks in tight mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval_tight_secs: Option<u32>,
}

/// Configuration of an organization, as provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgConfig {
    /// Name for people.
    pub org_name: String,
    /// IANA time zone whose midnight resets quotas.
    pub timezone: String,
    /// Who spends a quota.
    pub quota_scope: QuotaScope,
    /// Labels in order of preference.
    pub model_ordering: Vec<ModelLabel>,
    /// Daily quotas in micro-USD.
    pub quotas: Quotas,
    /// Monthly quotas in micro-USD.
    #[serde(default)]
    pub monthly_quotas: Quotas,
    /// Counter shards; fixed at creation.
    pub agg_shard_count: u8,
    /// Overrides of the service's defaults.
    #[serde(default)]
    pub overrides: Overrides,
    /// Rate limits of each of its clients.
    #[serde(default, skip_serializing_if = "OrgRateLimits::is_empty")]
    pub rate_limits: OrgRateLimits,
}

/// Configuration of an application, as provisioned. What is unset is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppConfig {
    /// Name for people.
    pub app_name: String,
    /// Own ordering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ordering: Option<Vec<ModelLabel>>,
    /// Own daily quotas; labels it does not name are inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
    /// Own monthly quotas; labels it does not name are inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_quotas: Option<Quotas>,
    /// Own overrides.
    #[serde(default)]
    pub overrides: Overrides,
}

/// A registered organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// Who.
    pub org_id: OrgId,
    /// Configuration.
    pub config: OrgConfig,
    /// Grows by one with every update; what a compare-and-swap compares.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A registered application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its organization.
    pub org_id: OrgId,
    /// Who.
    pub app_id: AppId,
    /// Configuration.
    pub config: AppConfig,
    /// Grows by one with every update; what a compare-and-swap compares.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The service's own defaults, below organization and application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantDefaults {
    /// Percentage of a quota from which a label is tight.
    pub tight_mode_threshold_pct: u8,
    /// Whether a fallback sticks until local midnight.
    pub sticky_fallback_enabled: bool,
    /// What to answer when every label is exceeded.
    pub exhausted_policy: ExhaustedPolicy,
    /// Advised seconds between checks in normal mode.
    pub refresh_interval_normal_secs: u32,
    /// Advised seconds between checks in tight mode.
    pub refresh_interval_tight_secs: u32,
    /// Counter shards of a new organization.
    pub agg_shard_count: u8,
    /// Rate limits of a caller.
    pub rate_limits: RateLimits,
}

/// Where an effective value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueSource {
    /// Set by the application.
    App,
    /// Set by the organization.
    Org,
    /// The service's default.
    Default,
}

/// A value and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub source: ValueSource,
}

/// The configuration in effect for an organization, or for one of its applications.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Organization, and the application where it is one's configuration.
    pub scope: Scope,
    /// Name of the application, or of the organization.
    pub name: String,
    /// IANA time zone; always the organization's.
    pub timezone: String,
    /// Calendar of that time zone.
    pub calendar: Calendar,
    /// Always the organization's.
    pub quota_scope: QuotaScope,
    /// Always the organization's.
    pub agg_shard_count: u8,
    /// Labels in order of preference.
    pub model_ordering: Sourced<Vec<ModelLabel>>,
    /// Daily quotas.
    pub quotas: Sourced<Quotas>,
    /// Monthly quotas.
    pub monthly_quotas: Sourced<Quotas>,
    /// Percentage of a quota from which a label is tight.
    pub tight_mode_threshold_pct: Sourced<u8>,
    /// Whether a fallback sticks.
    pub sticky_fallback_enabled: Sourced<bool>,
    /// What to answer when every label is exceeded.
    pub exhausted_policy: Sourced<ExhaustedPolicy>,
    /// Advised seconds between checks in normal mode.
    pub refresh_interval_normal_secs: Sourced<u32>,
    /// Advised seconds between checks in tight mode.
    pub refresh_interval_tight_secs: Sourced<u32>,
    /// Rate limits of each client, all of them set; always the organization's or the service's.
    pub rate_limits: Sourced<OrgRateLimits>,
    /// The scope whose fallback state counts: the one that owns the quotas, except for an application that shares
    /// quotas but orders other labels, or sticks to a fallback where the organization does not. A position in the
    /// shared chain would mean nothing in its own, and it would move the shared one for everybody else; so it keeps a
    /// state of its own.
    pub fallback_owner: Scope,
}

impl Effective {
    /// The scope whose spend is compared with the quotas.
    #[must_use]
    pub fn quota_owner(&self) -> Scope {
        match self.quota_scope {
            QuotaScope::Org => Scope::org(self.scope.org_id),
            QuotaScope::App => self.scope.clone(),
        }
    }
}

/// A stored time zone this binary does not know (a database written by a newer one).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored time zone {0} is unknown to this version")]
pub struct UnknownTimeZone(pub String);

/// The configuration in effect. An application's own quotas count only where the quota scope is `APP`; with `ORG`
/// the organization's apply.
///
/// # Errors
/// [`UnknownTimeZone`] where the stored zone is not in the compiled-in database.
pub fn effective(org: &Org, app: Option<&App>, defaults: &TenantDefaults) -> Result<Effective, UnknownTimeZone> {
    let calendar = Calendar::new(&org.config.timezone).map_err(|_| UnknownTimeZone(org.config.timezone.clone()))?;
    let own = app.map(|app| &app.config);
    let own_quotas = own.filter(|_| org.config.quota_scope == QuotaScope::App);
    let overrides = own.map(|config| config.overrides).unwrap_or_default();
    let inherited = &org.config.overrides;
    let scope = Scope { org_id: org.org_id, app_id: app.map(|app| app.app_id.clone()) };
    let org_sticky = inherited.sticky_fallback_enabled.unwrap_or(defaults.sticky_fallback_enabled);
    let own_chain =
        own.and_then(|config| config.model_ordering.as_ref()).is_some_and(|own| *own != org.config.model_ordering)
            || overrides.sticky_fallback_enabled.is_some_and(|own| own != org_sticky);
    let shares_fallback = org.config.quota_scope == QuotaScope::Org && !own_chain;
    Ok(Effective {
        fallback_owner: if shares_fallback { Scope::org(org.org_id) } else { scope.clone() },
        scope,
        name: own.map_or(&org.config.org_name, |config| &config.app_name).clone(),
        timezone: org.config.timezone.clone(),
        calendar,
        quota_scope: org.config.quota_scope,
        agg_shard_count: org.config.agg_shard_count,
        model_ordering: match own.and_then(|config| config.model_ordering.clone()) {
            Some(value) => Sourced { value, source: ValueSource::App },
            None => Sourced { value: org.config.model_ordering.clone(), source: ValueSource::Org },
        },
        quotas: merge(&org.config.quotas, own_quotas.and_then(|config| config.quotas.as_ref())),
        monthly_quotas: merge(&org.config.monthly_quotas, own_quotas.and_then(|config| config.monthly_quotas.as_ref())),
        tight_mode_threshold_pct: inherit(
            overrides.tight_mode_threshold_pct,
            inherited.tight_mode_threshold_pct,
            defaults.tight_mode_threshold_pct,
        ),
        sticky_fallback_enabled: inherit(
            overrides.sticky_fallback_enabled,
            inherited.sticky_fallback_enabled,
            defaults.sticky_fallback_enabled,
        ),
        exhausted_policy: inherit(overrides.exhausted_policy, inherited.exhausted_policy, defaults.exhausted_policy),
        refresh_interval_normal_secs: inherit(
            overrides.refresh_interval_normal_secs,
            inherited.refresh_interval_normal_secs,
            defaults.refresh_interval_normal_secs,
        ),
        refresh_interval_tight_secs: inherit(
            overrides.refresh_interval_tight_secs,
            inherited.refresh_interval_tight_secs,
            defaults.refresh_interval_tight_secs,
        ),
        rate_limits: Sourced {
            value: org.config.rate_limits.or(&defaults.rate_limits),
            source: if org.config.rate_limits.is_empty() { ValueSource::Default } else { ValueSource::Org },
        },
    })
}

fn inherit<T>(own: Option<T>, org: Option<T>, default: T) -> Sourced<T> {
    match (own, org) {
        (Some(value), _) => Sourced { value, source: ValueSource::App },
        (None, Some(value)) => Sourced { value, source: ValueSource::Org },
        (None, None) => Sourced { value: default, source: ValueSource::Default },
    }
}

/// Quotas are inherited label by label: an application that sets one label keeps the organization's for the others.
fn merge(org: &Quotas, own: Option<&Quotas>) -> Sourced<Quotas> {
    match own {
        None => Sourced { value: org.clone(), source: ValueSource::Org },
        Some(own) => {
            let mut value = org.clone();
            value.extend(own.iter().map(|(label, quota)| (label.clone(), *quota)));
            Sourced { value, source: ValueSource::App }
        }
    }
}

/// Why a configuration is impossible. Names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidConfig {
    /// The field, as it is written in the request.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl InvalidConfig {
    /// A refusal of one field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Checks everything about an organization's configuration that needs no other organization.
///
/// # Errors
/// [`InvalidConfig`] for the first field that is wrong.
pub fn validate_org(config: &OrgConfig, catalog: &LabelCatalog) -> Result<(), InvalidConfig> {
    validate_name("org_name", &config.org_name)?;
    Calendar::new(&config.timezone).map_err(|e| InvalidConfig::new("timezone", e.to_string()))?;
    if !SHARD_COUNTS.contains(&config.agg_shard_count) {
        return Err(InvalidConfig::new("overrides.agg_shard_count", "must be 8, 16, 32 or 64"));
    }
    let known = |label: &ModelLabel| catalog.get(label).is_some();
    validate_ordering(&config.model_ordering, known, catalog)?;
    validate_quotas("quotas", &config.quotas)?;
    validate_quotas("monthly_quotas", &config.monthly_quotas)?;
    validate_overrides(&config.overrides)?;
    config.rate_limits.validate()?;
    every_label_has_a_quota(&config.model_ordering, &config.quotas)
}

/// Checks an application's configuration against its organization.
///
/// `own_profiles` are the labels of inference profiles the application registered: its ordering may name them.
///
/// # Errors
/// [`InvalidConfig`] for the first field that is wrong.
pub fn validate_app(
    config: &AppConfig,
    org: &OrgConfig,
    catalog: &LabelCatalog,
    own_profiles: &BTreeSet<ModelLabel>,
) -> Result<(), InvalidConfig> {
    validate_name("app_name", &config.app_name)?;
    let known = |label: &ModelLabel| catalog.get(label).is_some() || own_profiles.contains(label);
    if let Some(ordering) = &config.model_ordering {
        validate_ordering(ordering, known, catalog)?;
    }
    for (field, quotas) in [("quotas", &config.quotas), ("monthly_quotas", &config.monthly_quotas)] {
        if let Some(quotas) = quotas {
            validate_quotas(field, quotas)?;
        }
    }
    validate_overrides(&config.overrides)?;
    let ordering = config.model_ordering.as_ref().unwrap_or(&org.model_ordering);
    let own_quotas = config.quotas.as_ref().filter(|_| org.quota_scope == QuotaScope::App);
    every_label_has_a_quota(ordering, &merge(&org.quotas, own_quotas).value)
}

fn validate_name(field: &str, name: &str) -> Result<(), InvalidConfig> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(InvalidConfig::new(field, format!("must be 1 to {MAX_NAME_CHARS} printable characters")));
    }
    Ok(())
}

fn validate_ordering(
    ordering: &[ModelLabel],
    known: impl Fn(&ModelLabel) -> bool,
    catalog: &LabelCatalog,
) -> Result<(), InvalidConfig> {
    if ordering.is_empty() || ordering.len() > MAX_LABELS {
        return Err(InvalidConfig::new("model_ordering", format!("must name 1 to {MAX_LABELS} labels")));
    }
    let mut seen = BTreeSet::new();
    for (index, label) in ordering.iter().enumerate() {
        let field = || format!("model_ordering[{index}]");
        if !seen.insert(label) {
            return Err(InvalidConfig::new(field(), format!("label {label} is named twice")));
        }
        if !known(label) {
            let labels: Vec<_> = catalog.labels().map(ModelLabel::as_str).collect();
            return Err(InvalidConfig::new(
                field(),
                format!("label {label} is not in the label catalog, which has: {}", labels.join(", ")),
            ));
        }
    }
    Ok(())
}

fn validate_quotas(field: &str, quotas: &Quotas) -> Result<(), InvalidConfig> {
    if quotas.len() > MAX_LABELS {
        return Err(InvalidConfig::new(field, format!("must name at most {MAX_LABELS} labels")));
    }
    for (label, quota) in quotas {
        if i64::try_from(quota.0).is_err() {
            return Err(InvalidConfig::new(
                format!("{field}.{label}"),
                "must be between 0 and 9223372036854775807 micro-USD",
            ));
        }
    }
    Ok(())
}

fn validate_overrides(overrides: &Overrides) -> Result<(), InvalidConfig> {
    if overrides.tight_mode_threshold_pct.is_some_and(|pct| !TIGHT_THRESHOLD_RANGE.contains(&pct)) {
        return Err(InvalidConfig::new("overrides.tight_mode_threshold_pct", "must be between 50 and 100"));
    }
    for (field, secs) in [
        ("overrides.refresh_interval_normal_secs", overrides.refresh_interval_normal_secs),
        ("overrides.refresh_interval_tight_secs", overrides.refresh_interval_tight_secs),
    ] {
        if secs.is_some_and(|secs| !REFRESH_INTERVAL_RANGE.contains(&secs)) {
            return Err(InvalidConfig::new(field, "must be between 1 and 86400 seconds"));
        }
    }
    Ok(())
}

fn every_label_has_a_quota(ordering: &[ModelLabel], quotas: &Quotas) -> Result<(), InvalidConfig> {
    match ordering.iter().find(|label| !quotas.contains_key(label)) {
        Some(label) => Err(InvalidConfig::new(
            format!("quotas.{label}"),
            format!("label {label} is in the ordering in effect but has no daily quota; 0 switches a label off"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
