//! Provisioning of organizations.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::OrgPath;
use super::config_view::{ConfigurationResponse, OverridesRequest, QuotaScopeWord, QuotasRequest, ordering, quotas};
use super::credentials::{CredentialsResponse, SecretDeliveryWord};
use super::error::{ApiError, ErrorResponse};
use super::extract::{Json, Query, optional_object};
use super::org_rate_limits::RateLimitsRequest;
use super::pagination::{DEFAULT_LIMIT, MAX_LIMIT, PageQuery, after, cut, limit};
use super::params::OrgParam;
use super::responses::{BodyErrors, CommonErrors, ConfigErrors, NotFoundError};
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::ids::{ClientId, OrgId, Scope};
use crate::domain::tenant::{InvalidConfig, Org};
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;
use crate::service::tenants::{OrgDraft, Put, PutOptions};
use crate::storage::Tenant;

/// Configuration of an organization. It replaces the present one as a whole.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "org_name": "Acme",
    "timezone": "America/New_York",
    "quota_scope": "APP",
    "model_ordering": ["premium", "standard", "economy"],
    "quotas": {"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000},
    "monthly_quotas": {"premium": 200_000_000},
    "overrides": {"tight_mode_threshold_pct": 90},
    "secret_delivery": "inline"
}))]
pub struct PutOrgRequest {
    /// Name for people, 1–200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) org_name: String,
    /// IANA time zone, such as `Europe/Berlin` or `UTC`, whose midnight resets quotas.
    pub(super) timezone: String,
    /// Who spends a quota: `ORG`, all applications together, or `APP`, each on its own.
    pub(super) quota_scope: QuotaScopeWord,
    /// Labels in order of preference; the first with room is recommended.
    #[schema(min_items = 1, max_items = 64)]
    pub(super) model_ordering: Vec<String>,
    /// Daily quotas in micro-USD by label; every label of the ordering needs one. 0 switches a label off.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub(super) quotas: QuotasRequest,
    /// Monthly quotas in micro-USD by label, beside the daily ones; labels left out have none.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    pub(super) monthly_quotas: Option<QuotasRequest>,
    /// Overrides of the service's defaults.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    pub(super) overrides: Option<OverridesRequest>,
    /// Rate limits of each of its clients, where they differ from the service's.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    pub(super) rate_limits: Option<RateLimitsRequest>,
    /// How the client secret of a new organization is delivered: `token` (default) or `inline`.
    #[serde(default)]
    #[schema(nullable = true)]
    pub(super) secret_delivery: Option<SecretDeliveryWord>,
}

impl PutOrgRequest {
    /// What it asks for.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming the field.
    pub fn into_draft(self) -> Result<(OrgDraft, PutOptions), InvalidConfig> {
        let (overrides, agg_shard_count) = self.overrides.unwrap_or_default().into_domain()?;
        let draft = OrgDraft {
            org_name: self.org_name,
            timezone: self.timezone,
            quota_scope: self.quota_scope.into(),
            model_ordering: ordering(self.model_ordering)?,
            quotas: quotas("quotas", self.quotas)?,
            monthly_quotas: quotas("monthly_quotas", self.monthly_quotas.unwrap_or_default())?,
            agg_shard_count,
            overrides,
            rate_limits: self.rate_limits.unwrap_or_default().into_domain()?,
        };
        let delivery = self.secret_delivery.map(Into::into).unwrap_or_default();
        Ok((draft, PutOptions { delivery, create_only: false }))
    }
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrgResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// Answer to a PUT: `created` or `updated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "created")]
    status: Option<&'static str>,
    /// Its OAuth2 client.
    #[schema(example = "org-550e8400-e29b-41d4-a716-446655440000")]
    client_id: String,
    /// When it was created, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    created_at: String,
    /// When its configuration last changed, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    updated_at: String,
    /// Of a created organization: its credentials. They are shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsResponse>,
    /// Its configuration in effect.
    configuration: ConfigurationResponse,
}

impl OrgResponse {
    fn new(state: &ApiState, org: &Org) -> Result<Self, ServiceError> {
        let effective = state.services.effective(&Tenant::of_org(org.clone()))?;
        Ok(Self {
            org_id: org.org_id.to_string(),
            status: None,
            client_id: ClientId::of(Scope::org(org.org_id)).to_string(),
            created_at: instant(org.created_at),
            updated_at: instant(org.updated_at),
            credentials: None,
            configuration: ConfigurationResponse::new(&effective),
        })
    }
}

/// A page of organizations.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrgListResponse {
    /// Organizations in ascending order of id.
    items: Vec<OrgResponse>,
    /// Pass as `cursor` for the next page; null on the last one.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// Whether the caller wants creation only (RFC 9110 §13.1.2). Anything but `*` would need an entity tag we do not give.
///
/// # Errors
/// 400 for another value.
pub fn create_only(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(header::IF_NONE_MATCH).map(|value| value.to_str()) {
        None => Ok(false),
        Some(Ok("*")) => Ok(true),
        Some(_) => Err(ApiError::invalid("If-None-Match", "must be * or absent")),
    }
}

/// Create or replace an organization
///
/// The id is a UUID of your choice. A new organization gets an OAuth2 client. Its secret is answered as a one-time retrieval link, or at once with
/// `"secret_delivery": "inline"`. Replacing keeps credentials. Send `If-None-Match: *` to create only.
#[utoipa::path(
    put,
    path = "/orgs/{org_id}",
    tag = "Organizations",
    params(
        OrgParam,
        ("If-None-Match" = Option<String>, Header, description = "`*` creates only: 409 where it exists"),
    ),
    request_body = PutOrgRequest,
    security(("api_key" = [])),
    responses(
        (status = 200, description = "Replaced; credentials unchanged", body = OrgResponse),
        (status = 201, description = "Created", body = OrgResponse),
        CommonErrors,
        ConfigErrors,
        BodyErrors,
        (status = 409, description = "`ALREADY_EXISTS`, or `CONFLICT`: a changed shard count or a lost update", body = ErrorResponse),
    ),
)]
pub async fn put_org(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
    headers: HeaderMap,
    Json(body): Json<PutOrgRequest>,
) -> ApiResult<(StatusCode, JsonBody<OrgResponse>)> {
    let (draft, mut options) = body.into_draft().map_err(ServiceError::from)?;
    options.create_only = create_only(&headers)?;
    let put = state.services.put_org(&access, org_id, draft, options).await?;
    let (status, word, org, issued) = match &put {
        Put::Created(org, issued) => (StatusCode::CREATED, "created", org, Some(issued)),
        Put::Updated(org) | Put::Unchanged(org) => (StatusCode::OK, "updated", org, None),
    };
    let mut response = OrgResponse::new(&state, org)?;
    response.status = Some(word);
    response.credentials = issued.map(CredentialsResponse::from_issued);
    Ok((status, JsonBody(response)))
}

/// Read an organization
///
/// Its configuration in effect, never a secret.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}",
    tag = "Organizations",
    params(OrgParam),
    security(("api_key" = [])),
    responses((status = 200, description = "The organization", body = OrgResponse), CommonErrors, NotFoundError),
)]
pub async fn get_org(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<JsonBody<OrgResponse>> {
    let (tenant, _) = state.services.get_tenant(&access, &Scope::org(org_id)).await?;
    Ok(JsonBody(OrgResponse::new(&state, &tenant.org)?))
}

/// List organizations
///
/// In ascending order of id, in pages: pass `next_cursor` as `cursor` until it is null.
#[utoipa::path(
    get,
    path = "/orgs",
    tag = "Organizations",
    params(PageQuery),
    security(("api_key" = [])),
    responses((status = 200, description = "A page", body = OrgListResponse), CommonErrors),
)]
pub async fn list_orgs(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    Query(page): Query<PageQuery>,
) -> ApiResult<JsonBody<OrgListResponse>> {
    let limit = limit(page.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: Option<OrgId> = after(page.cursor.as_deref())?;
    // One more than asked for tells whether there is a next page.
    let mut orgs = state.services.list_orgs(&access, after, limit + 1).await?;
    let next_cursor = cut(&mut orgs, limit, |org| org.org_id.to_string());
    let items = orgs.iter().map(|org| OrgResponse::new(&state, org)).collect::<Result<_, _>>()?;
    Ok(JsonBody(OrgListResponse { items, next_cursor }))
}

/// Delete an organization
///
/// Its configuration, applications, credentials and tokens end at once. Recorded usage stays until its retention ends.
#[utoipa::path(
    delete,
    path = "/orgs/{org_id}",
    tag = "Organizations",
    params(OrgParam),
    security(("api_key" = [])),
    responses((status = 204, description = "Deleted"), CommonErrors, NotFoundError),
)]
pub async fn delete_org(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
) -> ApiResult<StatusCode> {
    state.services.delete_org(&access, org_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
