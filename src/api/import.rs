//! Import of a whole configuration, as a request and as a file of the command line.

use axum::Json as JsonBody;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use figment::providers::{Format as _, Yaml};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiResult;
use super::apps::PutAppRequest;
use super::config_view::{OverridesRequest, QuotaScopeWord, QuotasRequest};
use super::credentials::CredentialsResponse;
use super::error::{ApiError, ErrorResponse};
use super::extract::{Query, from_json, is_json, is_yaml, objects, optional_object, read_body};
use super::org_rate_limits::RateLimitsRequest;
use super::orgs::PutOrgRequest;
use super::refusal::{refused, unreadable};
use super::responses::{BodyErrors, CommonErrors, ConfigErrors};
use super::router::ApiState;
use crate::domain::ids::InvalidId;
use crate::domain::tenant::InvalidConfig;
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;
use crate::service::import::{ChangeAction, ImportOrg, ImportReport};

/// Most organizations of one import: a bound for the work of one request. Larger installations use several files.
const MAX_ORGS: usize = 1_000;
/// Most applications of one organization in one import.
const MAX_APPS: usize = 1_000;

/// Organizations with their applications.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"orgs": [{
    "org_id": "550e8400-e29b-41d4-a716-446655440000",
    "org_name": "Acme",
    "timezone": "America/New_York",
    "quota_scope": "APP",
    "model_ordering": ["premium", "standard"],
    "quotas": {"premium": 10_000_000, "standard": 5_000_000},
    "apps": [{"app_id": "chat", "app_name": "Support chat", "quotas": {"premium": 2_000_000}}]
}]}))]
pub struct ImportRequest {
    /// The organizations; others stay as they are.
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 1000)]
    orgs: Vec<ImportOrgRequest>,
}

/// An organization: the body of its PUT, its id and its applications.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportOrgRequest {
    /// Which organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// As in its PUT.
    org_name: String,
    /// As in its PUT.
    timezone: String,
    /// As in its PUT.
    quota_scope: QuotaScopeWord,
    /// As in its PUT.
    model_ordering: Vec<String>,
    /// As in its PUT.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    quotas: QuotasRequest,
    /// As in its PUT.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    monthly_quotas: Option<QuotasRequest>,
    /// As in its PUT.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    overrides: Option<OverridesRequest>,
    /// As in its PUT.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    rate_limits: Option<RateLimitsRequest>,
    /// Its applications; others of it stay as they are.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 1000)]
    apps: Vec<ImportAppRequest>,
}

/// An application: the body of its PUT and its id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportAppRequest {
    /// Which application.
    #[schema(example = "chat")]
    app_id: String,
    /// As in its PUT.
    app_name: String,
    /// As in its PUT.
    #[serde(default)]
    model_ordering: Option<Vec<String>>,
    /// As in its PUT.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    quotas: Option<QuotasRequest>,
    /// As in its PUT.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>, required = false)]
    monthly_quotas: Option<QuotasRequest>,
    /// As in its PUT.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(nullable = true)]
    overrides: Option<OverridesRequest>,
}

impl ImportRequest {
    /// What it asks for.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming the place in the file.
    pub fn into_orgs(self) -> Result<Vec<ImportOrg>, InvalidConfig> {
        if self.orgs.len() > MAX_ORGS {
            return Err(InvalidConfig::new("orgs", format!("must have at most {MAX_ORGS} organizations")));
        }
        self.orgs.into_iter().enumerate().map(|(index, org)| org.into_org(&format!("orgs[{index}]"))).collect()
    }
}

fn within(at: &str) -> impl Fn(InvalidConfig) -> InvalidConfig {
    move |error| InvalidConfig::new(format!("{at}.{}", error.field), error.reason)
}

fn id<T: std::str::FromStr<Err = InvalidId>>(field: String, text: &str) -> Result<T, InvalidConfig> {
    text.parse().map_err(|error: InvalidId| InvalidConfig::new(field, format!("must be {}", error.expected)))
}

impl ImportOrgRequest {
    fn into_org(self, at: &str) -> Result<ImportOrg, InvalidConfig> {
        if self.apps.len() > MAX_APPS {
            return Err(InvalidConfig::new(format!("{at}.apps"), format!("must have at most {MAX_APPS} applications")));
        }
        let org_id = id(format!("{at}.org_id"), &self.org_id)?;
        let apps = self
            .apps
            .into_iter()
            .enumerate()
            .map(|(index, app)| {
                let at = format!("{at}.apps[{index}]");
                let app_id = id(format!("{at}.app_id"), &app.app_id)?;
                Ok((app_id, PutAppRequest::from(app).into_config().map_err(within(&at))?.0))
            })
            .collect::<Result<_, _>>()?;
        let put = PutOrgRequest {
            org_name: self.org_name,
            timezone: self.timezone,
            quota_scope: self.quota_scope,
            model_ordering: self.model_ordering,
            quotas: self.quotas,
            monthly_quotas: self.monthly_quotas,
            overrides: self.overrides,
            rate_limits: self.rate_limits,
            secret_delivery: None,
        };
        Ok(ImportOrg { org_id, draft: put.into_draft().map_err(within(at))?.0, apps })
    }
}

impl From<ImportAppRequest> for PutAppRequest {
    fn from(app: ImportAppRequest) -> Self {
        Self {
            app_name: app.app_name,
            model_ordering: app.model_ordering,
            quotas: app.quotas,
            monthly_quotas: app.monthly_quotas,
            overrides: app.overrides,
            secret_delivery: None,
        }
    }
}

/// Form of an import document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Reads an import document.
///
/// # Errors
/// 400 naming the place in the document.
pub fn parse_document(bytes: &[u8], format: ImportFormat) -> Result<ImportRequest, ApiError> {
    match format {
        ImportFormat::Json => from_json(bytes),
        ImportFormat::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| ApiError::invalid("body", "must be UTF-8"))?;
            if flow_depth(text) > MAX_FLOW_DEPTH {
                return Err(ApiError::invalid("body", format!("must not nest brackets deeper than {MAX_FLOW_DEPTH}")));
            }
            let Traced(document) = Yaml::from_str(text).map_err(|error| unreadable("body", &error.to_string()))?;
            document
        }
    }
}

/// A document, or the refusal that names the place in it: the YAML reader's own error would have only the line.
struct Traced(Result<ImportRequest, ApiError>);

impl<'de> Deserialize<'de> for Traced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(serde_path_to_error::deserialize(deserializer).map_err(|error| refused(error, "body"))))
    }
}

/// Deepest nesting of `[` and `{` in YAML. A document needs five; the reader's work grows with the square of it.
const MAX_FLOW_DEPTH: usize = 64;

/// How deep brackets nest, those inside of quoted text included: counting is enough to bound the reader's work.
fn flow_depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Options of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Only say what would change.
    #[serde(default)]
    #[param(example = true)]
    dry_run: bool,
}

/// What an import changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportResponse {
    /// Whether it was carried out; `false` with `dry_run`.
    #[schema(example = false)]
    applied: bool,
    /// One entry for each resource of the document.
    changes: Vec<ImportChange>,
    /// One-time retrieval of the secrets of what was created.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credentials: Vec<CredentialsResponse>,
}

/// One resource of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportChange {
    /// `orgs/{org_id}` or `orgs/{org_id}/apps/{app_id}`.
    #[schema(example = "orgs/550e8400-e29b-41d4-a716-446655440000/apps/chat")]
    pub resource: String,
    /// `create`, `update` or `unchanged`.
    #[schema(example = "update")]
    pub action: &'static str,
    /// Fields that differ.
    #[schema(example = json!(["quotas"]))]
    pub fields: Vec<String>,
}

impl ImportResponse {
    /// The report on the wire.
    #[must_use]
    pub fn new(report: &ImportReport) -> Self {
        let changes = report
            .changes
            .iter()
            .map(|change| ImportChange {
                resource: change.resource.clone(),
                action: match change.action {
                    ChangeAction::Create => "create",
                    ChangeAction::Update => "update",
                    ChangeAction::Unchanged => "unchanged",
                },
                fields: change.fields.clone(),
            })
            .collect();
        let credentials = report.credentials.iter().map(CredentialsResponse::from_issued).collect();
        Self { applied: report.applied, changes, credentials }
    }

    /// What changed.
    #[must_use]
    pub fn changes(&self) -> &[ImportChange] {
        &self.changes
    }

    /// Credentials of what was created.
    #[must_use]
    pub fn credentials(&self) -> &[CredentialsResponse] {
        &self.credentials
    }
}

/// Import organizations and applications
///
/// Idempotent. The document is checked as a whole first: one with a mistake changes nothing. Also takes YAML.
#[utoipa::path(
    post,
    path = "/config/import",
    tag = "Organizations",
    params(ImportQuery),
    request_body(content(
        (ImportRequest = "application/json"),
        (ImportRequest = "application/yaml"),
    )),
    security(("api_key" = [])),
    responses(
        (status = 200, description = "What changed, or would change", body = ImportResponse),
        CommonErrors,
        ConfigErrors,
        BodyErrors,
        (status = 409, description = "`CONFLICT`: a changed shard count or a lost update", body = ErrorResponse),
    ),
)]
pub async fn import_config(
    State(state): State<ApiState>,
    access: ProvisioningAccess,
    Query(query): Query<ImportQuery>,
    request: Request,
) -> ApiResult<JsonBody<ImportResponse>> {
    let format = match request.headers() {
        headers if is_json(headers) => ImportFormat::Json,
        headers if is_yaml(headers) => ImportFormat::Yaml,
        _ => {
            let mut error = ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            error.message = "the body must be application/json or application/yaml".to_owned();
            return Err(error);
        }
    };
    let body = read_body(request, &state).await?;
    // A large document keeps a thread busy for a while, and not one that other requests wait for.
    let parsed = tokio::task::spawn_blocking(move || parse_document(&body, format)).await;
    let document = parsed.map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))??;
    let orgs = document.into_orgs().map_err(ServiceError::from)?;
    let report = state.services.import(&access, &orgs, query.dry_run).await?;
    Ok(JsonBody(ImportResponse::new(&report)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_nest_only_so_deep() {
        let nested = |depth: usize| format!("orgs: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(flow_depth(&nested(64)), 64);
        let refused = parse_document(nested(65).as_bytes(), ImportFormat::Yaml).unwrap_err();
        assert!(refused.message.contains("deeper than 64"), "{}", refused.message);
        assert_eq!(flow_depth("a: [1, {b: [2]}, [3]]\nc: [4]"), 3);
    }
}
