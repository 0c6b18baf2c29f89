//! Configuration on the wire: what is asked for, and what is in effect.

use std::collections::BTreeMap;

use axum::Json as JsonBody;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::ApiResult;
use super::auth::{AppPath, OrgPath};
use super::error::ApiError;
use super::extract::UniqueMap;
use super::org_rate_limits::RateLimitsResponse;
use super::params::{AppParam, OrgParam};
use super::responses::{CommonErrors, NotFoundError};
use super::router::ApiState;
use super::words::word;
use crate::domain::ids::{ModelLabel, Scope};
use crate::domain::money::MicroUsd;
use crate::domain::selection::ExhaustedPolicy;
use crate::domain::tenant::{
    Effective, InvalidConfig, Overrides, QuotaScope, Quotas, REFRESH_INTERVAL_RANGE, SHARD_COUNTS, Sourced,
    TIGHT_THRESHOLD_RANGE, ValueSource,
};
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;

/// Who spends a quota.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum QuotaScopeWord {
    /// All applications of the organization together.
    Org,
    /// Each application on its own.
    App,
}

impl<'de> Deserialize<'de> for QuotaScopeWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, &[("ORG", Self::Org), ("APP", Self::App)])
    }
}

impl From<QuotaScopeWord> for QuotaScope {
    fn from(word: QuotaScopeWord) -> Self {
        match word {
            QuotaScopeWord::Org => Self::Org,
            QuotaScopeWord::App => Self::App,
        }
    }
}

impl From<QuotaScope> for QuotaScopeWord {
    fn from(scope: QuotaScope) -> Self {
        match scope {
            QuotaScope::Org => Self::Org,
            QuotaScope::App => Self::App,
        }
    }
}

/// What is answered when every label is exceeded.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExhaustedPolicyWord {
    /// 429 with the instant a label is free again.
    Reject,
    /// The last label of the ordering.
    Last,
}

impl<'de> Deserialize<'de> for ExhaustedPolicyWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, &[("reject", Self::Reject), ("last", Self::Last)])
    }
}

impl From<ExhaustedPolicyWord> for ExhaustedPolicy {
    fn from(word: ExhaustedPolicyWord) -> Self {
        match word {
            ExhaustedPolicyWord::Reject => Self::Reject,
            ExhaustedPolicyWord::Last => Self::Last,
        }
    }
}

impl From<ExhaustedPolicy> for ExhaustedPolicyWord {
    fn from(policy: ExhaustedPolicy) -> Self {
        match policy {
            ExhaustedPolicy::Reject => Self::Reject,
            ExhaustedPolicy::Last => Self::Last,
        }
    }
}

/// Settings that override what is inherited. Leave out, or set null, what should be inherited.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverridesRequest {
    /// Percentage of a quota from which a label is tight, 50–100.
    #[schema(minimum = 50, maximum = 100, example = 90)]
    tight_mode_threshold_pct: Option<i64>,
    /// Counter shards: 8, 16, 32 or 64. Organizations only; fixed at creation.
    #[schema(example = 8)]
    agg_shard_count: Option<i64>,
    /// Whether a fallback sticks until local midnight.
    #[schema(example = true)]
    sticky_fallback_enabled: Option<bool>,
    /// What is answered when every label is exceeded.
    #[schema(nullable = true)]
    exhausted_policy: Option<ExhaustedPolicyWord>,
    /// Advised seconds between checks in normal mode, 1–86400.
    #[schema(minimum = 1, maximum = 86400, example = 300)]
    refresh_interval_normal_secs: Option<i64>,
    /// Advised seconds between checks in tight mode, 1–86400.
    #[schema(minimum = 1, maximum = 86400, example = 60)]
    refresh_interval_tight_secs: Option<i64>,
    /// Another name of `refresh_interval_tight_secs`.
    #[schema(minimum = 1, maximum = 86400, example = 60)]
    refresh_interval_secs: Option<i64>,
}

impl OverridesRequest {
    /// The overrides and the shard count asked for.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming a number that is out of range.
    pub fn into_domain(self) -> Result<(Overrides, Option<u8>), InvalidConfig> {
        let interval = |field: &str, secs: Option<i64>| match secs {
            None => Ok(None),
            Some(secs) => {
                u32::try_from(secs).ok().filter(|secs| REFRESH_INTERVAL_RANGE.contains(secs)).map(Some).ok_or_else(
                    || InvalidConfig::new(format!("overrides.{field}"), "must be between 1 and 86400 seconds"),
                )
            }
        };
        let byte = |field: &str, value: Option<i64>, expected: &str, allowed: &dyn Fn(u8) -> bool| match value {
            None => Ok(None),
            Some(value) => u8::try_from(value)
                .ok()
                .filter(|value| allowed(*value))
                .map(Some)
                .ok_or_else(|| InvalidConfig::new(format!("overrides.{field}"), expected)),
        };
        let tight = interval("refresh_interval_tight_secs", self.refresh_interval_tight_secs)?;
        let alias = interval("refresh_interval_secs", self.refresh_interval_secs)?;
        if let (Some(tight), Some(alias)) = (tight, alias)
            && tight != alias
        {
            return Err(InvalidConfig::new(
                "overrides.refresh_interval_secs",
                "is another name of refresh_interval_tight_secs and must not differ from it",
            ));
        }
        let overrides = Overrides {
            tight_mode_threshold_pct: byte(
                "tight_mode_threshold_pct",
                self.tight_mode_threshold_pct,
                "must be between 50 and 100",
                &|pct| TIGHT_THRESHOLD_RANGE.contains(&pct),
            )?,
            sticky_fallback_enabled: self.sticky_fallback_enabled,
            exhausted_policy: self.exhausted_policy.map(Into::into),
            refresh_interval_normal_secs: interval("refresh_interval_normal_secs", self.refresh_interval_normal_secs)?,
            refresh_interval_tight_secs: tight.or(alias),
        };
        let shards = byte("agg_shard_count", self.agg_shard_count, "must be 8, 16, 32 or 64", &|shards| {
            SHARD_COUNTS.contains(&shards)
        })?;
        Ok((overrides, shards))
    }
}

/// Quotas as written: micro-USD by label.
pub type QuotasRequest = UniqueMap<i64>;

/// Reads quotas.
///
/// # Errors
/// [`InvalidConfig`] naming the label.
pub fn quotas(field: &str, quotas: QuotasRequest) -> Result<Quotas, InvalidConfig> {
    quotas
        .0
        .into_iter()
        .map(|(label, quota)| {
            let at = format!("{field}.{label}");
            let label: ModelLabel =
                label.parse().map_err(|_| InvalidConfig::new(field, "every key must be a model label"))?;
            let quota = u64::try_from(quota).map_err(|_| InvalidConfig::new(at, "must be micro-USD, zero or more"))?;
            Ok((label, MicroUsd(quota)))
        })
        .collect()
}

/// Reads an ordering.
///
/// # Errors
/// [`InvalidConfig`] naming the element.
pub fn ordering(labels: Vec<String>) -> Result<Vec<ModelLabel>, InvalidConfig> {
    labels
        .into_iter()
        .enumerate()
        .map(|(index, label)| {
            label.parse().map_err(|error: crate::domain::ids::InvalidId| {
                InvalidConfig::new(format!("model_ordering[{index}]"), format!("must be {}", error.expected))
            })
        })
        .collect()
}

/// Configuration in effect.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigurationResponse {
    /// Name of the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Acme")]
    org_name: Option<String>,
    /// Name of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Support chat")]
    app_name: Option<String>,
    /// IANA time zone whose midnight resets quotas; the organization's.
    #[schema(example = "America/New_York")]
    timezone: String,
    /// Who spends a quota; the organization's.
    quota_scope: QuotaScopeWord,
    /// Labels in order of preference.
    #[schema(example = json!(["premium", "standard", "economy"]))]
    model_ordering: Vec<String>,
    /// Daily quotas in micro-USD by label.
    #[schema(example = json!({"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000}))]
    quotas: BTreeMap<String, u64>,
    /// Monthly quotas in micro-USD by label; labels without one have no monthly quota.
    #[schema(example = json!({"premium": 200_000_000}))]
    monthly_quotas: BTreeMap<String, u64>,
    /// Counter shards; fixed at creation.
    #[schema(example = 8)]
    agg_shard_count: u8,
    /// Percentage of a quota from which a label is tight.
    #[schema(example = 95)]
    tight_mode_threshold_pct: u8,
    /// Whether a fallback sticks until local midnight.
    #[schema(example = true)]
    sticky_fallback_enabled: bool,
    /// What is answered when every label is exceeded.
    exhausted_policy: ExhaustedPolicyWord,
    /// Advised seconds between checks in normal mode.
    #[schema(example = 300)]
    refresh_interval_normal_secs: u32,
    /// Advised seconds between checks in tight mode.
    #[schema(example = 60)]
    refresh_interval_tight_secs: u32,
    /// Requests a minute of each client; the organization's or the service's.
    rate_limits: RateLimitsResponse,
    /// Of an application: fields it takes from its organization or the service's defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["model_ordering", "exhausted_policy", "timezone"]))]
    inherited_fields: Option<Vec<&'static str>>,
}

fn plain_quotas(quotas: &Quotas) -> BTreeMap<String, u64> {
    quotas.iter().map(|(label, quota)| (label.to_string(), quota.0)).collect()
}

fn plain_labels(labels: &[ModelLabel]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

/// Every field that can be inherited, with its value as JSON and its origin.
fn inheritable(effective: &Effective) -> [(&'static str, Value, ValueSource); 9] {
    fn entry<T>(name: &'static str, sourced: &Sourced<T>, value: Value) -> (&'static str, Value, ValueSource) {
        (name, value, sourced.source)
    }
    let policy = ExhaustedPolicyWord::from(effective.exhausted_policy.value);
    [
        entry("model_ordering", &effective.model_ordering, json!(plain_labels(&effective.model_ordering.value))),
        entry("quotas", &effective.quotas, json!(plain_quotas(&effective.quotas.value))),
        entry("monthly_quotas", &effective.monthly_quotas, json!(plain_quotas(&effective.monthly_quotas.value))),
        entry(
            "tight_mode_threshold_pct",
            &effective.tight_mode_threshold_pct,
            json!(effective.tight_mode_threshold_pct.value),
        ),
        entry(
            "sticky_fallback_enabled",
            &effective.sticky_fallback_enabled,
            json!(effective.sticky_fallback_enabled.value),
        ),
        entry("exhausted_policy", &effective.exhausted_policy, json!(policy)),
        entry(
            "refresh_interval_normal_secs",
            &effective.refresh_interval_normal_secs,
            json!(effective.refresh_interval_normal_secs.value),
        ),
        entry(
            "refresh_interval_tight_secs",
            &effective.refresh_interval_tight_secs,
            json!(effective.refresh_interval_tight_secs.value),
        ),
        entry("rate_limits", &effective.rate_limits, json!(effective.rate_limits.value)),
    ]
}

impl ConfigurationResponse {
    /// The configuration in effect for an organization or application.
    #[must_use]
    pub fn new(effective: &Effective) -> Self {
        let is_app = effective.scope.app_id.is_some();
        let inherited = || {
            let own_always = ["timezone", "quota_scope", "agg_shard_count"];
            let inherited = inheritable(effective)
                .into_iter()
                .filter(|(_, _, source)| *source != ValueSource::App)
                .map(|(name, _, _)| name);
            own_always.into_iter().chain(inherited).collect()
        };
        Self {
            org_name: (!is_app).then(|| effective.name.clone()),
            app_name: is_app.then(|| effective.name.clone()),
            timezone: effective.timezone.clone(),
            quota_scope: effective.quota_scope.into(),
            model_ordering: plain_labels(&effective.model_ordering.value),
            quotas: plain_quotas(&effective.quotas.value),
            monthly_quotas: plain_quotas(&effective.monthly_quotas.value),
            agg_shard_count: effective.agg_shard_count,
            tight_mode_threshold_pct: effective.tight_mode_threshold_pct.value,
            sticky_fallback_enabled: effective.sticky_fallback_enabled.value,
            exhausted_policy: effective.exhausted_policy.value.into(),
            refresh_interval_normal_secs: effective.refresh_interval_normal_secs.value,
            refresh_interval_tight_secs: effective.refresh_interval_tight_secs.value,
            rate_limits: effective.rate_limits.value.into(),
            inherited_fields: is_app.then(inherited),
        }
    }
}

/// One value of a configuration.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigValue {
    /// The value in effect, of the type the field has.
    #[schema(example = 95)]
    value: Value,
    /// `app`, `org` or `default`: who set it.
    #[schema(value_type = String, example = "org")]
    source: ValueSource,
}

/// Effective configuration with the origin of each value.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigViewResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    app_id: Option<String>,
    /// Field → value and origin.
    #[schema(example = json!({
        "model_ordering": {"value": ["premium", "standard", "economy"], "source": "org"},
        "quotas": {"value": {"premium": 2_000_000, "standard": 5_000_000, "economy": 1_000_000}, "source": "app"},
        "tight_mode_threshold_pct": {"value": 95, "source": "default"}
    }))]
    values: BTreeMap<&'static str, ConfigValue>,
    /// What a reader should know about how these values come about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'static str>,
}

async fn view(
    state: &ApiState,
    access: &ProvisioningAccess,
    scope: &Scope,
) -> Result<ConfigViewResponse, ServiceError> {
    let (tenant, effective) = state.services.get_tenant(access, scope).await?;
    let mut values: BTreeMap<&'static str, ConfigValue> = inheritable(&effective)
        .into_iter()
        .map(|(name, value, source)| (name, ConfigValue { value, source }))
        .collect();
    let org = |value: Value| ConfigValue { value, source: ValueSource::Org };
    values.insert("timezone", org(json!(effective.timezone)));
    values.insert("quota_scope", org(json!(QuotaScopeWord::from(effective.quota_scope))));
    values.insert("agg_shard_count", org(json!(effective.agg_shard_count)));
    let unused_quotas = effective.quota_scope == QuotaScope::Org
        && tenant.app.as_ref().is_some_and(|app| app.config.quotas.is_some() || app.config.monthly_quotas.is_some());
    let notes = if unused_quotas {
        vec!["the application has quotas of its own, which do not count while the quota_scope is ORG"]
    } else {
        Vec::new()
    };
    Ok(ConfigViewResponse {
        org_id: scope.org_id.to_string(),
        app_id: scope.app_id.as_ref().map(ToString::to_string),
        values,
        notes,
    })
}

/// Effective configuration of an organization
///
/// Every value with its origin: the organization or the service's defaults.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/config",
    tag = "Organizations",
    params(OrgParam),
    security(("api_key" = [])),
    responses((status = 200, description = "Effective values", body = ConfigViewResponse), CommonErrors, NotFoundError),
)]
pub async fn get_org_config(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<JsonBody<ConfigViewResponse>> {
    view(&state, &access, &Scope::org(org_id)).await.map(JsonBody).map_err(ApiError::from)
}

/// Effective configuration of an application
///
/// Every value with its origin: the application, its organization or the service's defaults.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/config",
    tag = "Applications",
    params(AppParam),
    security(("api_key" = [])),
    responses((status = 200, description = "Effective values", body = ConfigViewResponse), CommonErrors, NotFoundError),
)]
pub async fn get_app_config(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<JsonBody<ConfigViewResponse>> {
    view(&state, &access, &Scope::app(org_id, app_id)).await.map(JsonBody).map_err(ApiError::from)
}
