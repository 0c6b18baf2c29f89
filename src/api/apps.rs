//! Provisioning of applications.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{AppPath, OrgPath};
use super::config_view::{ConfigurationResponse, OverridesRequest, QuotasRequest, ordering, quotas};
use super::credentials::{CredentialsResponse, SecretDeliveryWord};
use super::error::ErrorResponse;
use super::extract::{Json, Query, optional_object};
use super::orgs::create_only;
use super::pagination::{DEFAULT_LIMIT, MAX_LIMIT, PageQuery, after, cut, limit};
use super::params::{AppParam, OrgParam};
use super::responses::{BodyErrors, CommonErrors, ConfigErrors, NotFoundError};
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::ids::{AppId, ClientId, Scope};
use crate::domain::tenant::{App, AppConfig, InvalidConfig, Org};
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;
use crate::service::tenants::{Put, PutOptions};
use crate::storage::Tenant;

/// Configuration of an application. It replaces the present one as a whole; what is left out is inherited.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "app_name": "Support chat",
    "quotas": {"premium": 2_000_000},
    "secret_delivery": "inline"
}))]
pub struct PutAppRequest {
    /// Name for people, 1–200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) app_name: String,
    /// Own labels in order of preference.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 64)]
    pub(super) model_ordering: Option<Vec<String>>,
    /// Own daily quotas in micro-USD; labels left out are inherited. They count only with quota scope `APP`.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    pub(super) quotas: Option<QuotasRequest>,
    /// Own monthly quotas in micro-USD; labels left out are inherited. They count only with quota scope `APP`.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    pub(super) monthly_quotas: Option<QuotasRequest>,
    /// Overrides of the organization's settings.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    pub(super) overrides: Option<OverridesRequest>,
    /// How the client secret of a new application is delivered: `token` (default) or `inline`.
    #[serde(default)]
    #[schema(nullable = true)]
    pub(super) secret_delivery: Option<SecretDeliveryWord>,
}

impl PutAppRequest {
    /// What it asks for.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming the field.
    pub fn into_config(self) -> Result<(AppConfig, PutOptions), InvalidConfig> {
        let (overrides, shards) = self.overrides.unwrap_or_default().into_domain()?;
        if shards.is_some() {
            return Err(InvalidConfig::new("overrides.agg_shard_count", "always comes from the organization"));
        }
        let config = AppConfig {
            app_name: self.app_name,
            model_ordering: self.model_ordering.map(ordering).transpose()?,
            quotas: self.quotas.map(|own| quotas("quotas", own)).transpose()?,
            monthly_quotas: self.monthly_quotas.map(|own| quotas("monthly_quotas", own)).transpose()?,
            overrides,
        };
        let delivery = self.secret_delivery.map(Into::into).unwrap_or_default();
        Ok((config, PutOptions { delivery, create_only: false }))
    }
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppResponse {
    /// Its organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application.
    #[schema(example = "chat")]
    app_id: String,
    /// Answer to a PUT: `created` or `updated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "created")]
    status: Option<&'static str>,
    /// Its OAuth2 client.
    #[schema(example = "org-550e8400-e29b-41d4-a716-446655440000-app-chat")]
    client_id: String,
    /// When it was created, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    created_at: String,
    /// When its configuration last changed, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    updated_at: String,
    /// Of a created application: its credentials. They are shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<CredentialsResponse>,
    /// Its configuration in effect.
    configuration: ConfigurationResponse,
}

impl AppResponse {
    fn new(state: &ApiState, org: &Org, app: &App) -> Result<Self, ServiceError> {
        let effective = state.services.effective(&Tenant::of_app(org.clone(), app.clone()))?;
        Ok(Self {
            org_id: app.org_id.to_string(),
            app_id: app.app_id.to_string(),
            status: None,
            client_id: ClientId::of(Scope::app(app.org_id, app.app_id.clone())).to_string(),
            created_at: instant(app.created_at),
            updated_at: instant(app.updated_at),
            credentials: None,
            configuration: ConfigurationResponse::new(&effective),
        })
    }
}

/// A page of applications.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppListResponse {
    /// Applications in ascending order of id.
    items: Vec<AppResponse>,
    /// Pass as `cursor` for the next page; null on the last one.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// Create or replace an application
///
/// The id is a name of your choice. A new application gets an OAuth2 client. Its secret is answered as a one-time retrieval link, or at once with
/// `"secret_delivery": "inline"`. Replacing keeps credentials. Send `If-None-Match: *` to create only.
#[utoipa::path(
    put,
    path = "/orgs/{org_id}/apps/{app_id}",
    tag = "Applications",
    params(
        AppParam,
        ("If-None-Match" = Option<String>, Header, description = "`*` creates only: 409 where it exists"),
    ),
    request_body = PutAppRequest,
    security(("api_key" = [])),
    responses(
        (status = 200, description = "Replaced; credentials unchanged", body = AppResponse),
        (status = 201, description = "Created", body = AppResponse),
        CommonErrors,
        ConfigErrors,
        BodyErrors,
        NotFoundError,
        (status = 409, description = "`ALREADY_EXISTS`, or `CONFLICT`: a lost update", body = ErrorResponse),
    ),
)]
pub async fn put_app(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
    headers: HeaderMap,
    Json(body): Json<PutAppRequest>,
) -> ApiResult<(StatusCode, JsonBody<AppResponse>)> {
    let (config, mut options) = body.into_config().map_err(ServiceError::from)?;
    options.create_only = create_only(&headers)?;
    let (put, org) = state.services.put_app(&access, org_id, app_id, config, options).await?;
    let (status, word, app, issued) = match &put {
        Put::Created(app, issued) => (StatusCode::CREATED, "created", app, Some(issued)),
        Put::Updated(app) | Put::Unchanged(app) => (StatusCode::OK, "updated", app, None),
    };
    let mut response = AppResponse::new(&state, &org, app)?;
    response.status = Some(word);
    response.credentials = issued.map(CredentialsResponse::from_issued);
    Ok((status, JsonBody(response)))
}

/// Read an application
///
/// Its configuration in effect, what it inherits included; never a secret.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}",
    tag = "Applications",
    params(AppParam),
    security(("api_key" = [])),
    responses((status = 200, description = "The application", body = AppResponse), CommonErrors, NotFoundError),
)]
pub async fn get_app(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<JsonBody<AppResponse>> {
    let (tenant, _) = state.services.get_tenant(&access, &Scope::app(org_id, app_id)).await?;
    let app = tenant.app.as_ref().ok_or(ServiceError::NotFound("application"))?;
    Ok(JsonBody(AppResponse::new(&state, &tenant.org, app)?))
}

/// List an organization's applications
///
/// In ascending order of id, in pages: pass `next_cursor` as `cursor` until it is null.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps",
    tag = "Applications",
    params(OrgParam, PageQuery),
    security(("api_key" = [])),
    responses((status = 200, description = "A page", body = AppListResponse), CommonErrors, NotFoundError),
)]
pub async fn list_apps(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    OrgPath(org_id): OrgPath,
    Query(page): Query<PageQuery>,
) -> ApiResult<JsonBody<AppListResponse>> {
    let limit = limit(page.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: Option<AppId> = after(page.cursor.as_deref())?;
    // One more than asked for tells whether there is a next page.
    let (org, mut apps) = state.services.list_apps(&access, org_id, after.as_ref(), limit + 1).await?;
    let next_cursor = cut(&mut apps, limit, |app| app.app_id.to_string());
    let items = apps.iter().map(|app| AppResponse::new(&state, &org, app)).collect::<Result<_, _>>()?;
    Ok(JsonBody(AppListResponse { items, next_cursor }))
}

/// Delete an application
///
/// Its configuration, credentials and tokens end at once. Recorded usage stays until its retention ends.
#[utoipa::path(
    delete,
    path = "/orgs/{org_id}/apps/{app_id}",
    tag = "Applications",
    params(AppParam),
    security(("api_key" = [])),
    responses((status = 204, description = "Deleted"), CommonErrors, NotFoundError),
)]
pub async fn delete_app(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    AppPath(org_id, app_id): AppPath,
) -> ApiResult<StatusCode> {
    state.services.delete_app(&access, org_id, &app_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
