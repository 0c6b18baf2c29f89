//! Inference profiles of an application.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::ProfileLabelPath;
use super::error::{ApiError, ErrorResponse};
use super::extract::{Json, Query};
use super::pagination::{DEFAULT_LIMIT, MAX_LIMIT, PageQuery, after, cut, limit};
use super::params::AppParam;
use super::responses::{BodyErrors, CommonErrors, NotFoundError};
use super::router::ApiState;
use super::{ApiResult, instant};
use crate::domain::ids::{InvalidId, ModelLabel};
use crate::domain::profile::InferenceProfile;
use crate::service::access::{ProfileReadAccess, ProfileWriteAccess};
use crate::service::profiles::{ProfileDraft, Registration};

/// An inference profile to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "profile_label": "support-profile",
    "inference_profile_arn": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
    "description": "Support chat, billed to the support team"
}))]
pub struct RegisterProfileRequest {
    /// The label the application will use for it: 1 to 50 lower-case letters, digits, `_` or `-`, starting with a letter,
    /// and no label of the catalog.
    #[schema(pattern = "^[a-z][a-z0-9_-]{0,49}$")]
    profile_label: String,
    /// ARN of an `inference-profile` or `application-inference-profile`.
    #[schema(max_length = 2048)]
    inference_profile_arn: String,
    /// One line for a person; default empty.
    #[serde(default)]
    #[schema(max_length = 200, nullable = true)]
    description: Option<String>,
}

impl RegisterProfileRequest {
    fn into_draft(self) -> Result<ProfileDraft, ApiError> {
        let refused = |field: &str, error: InvalidId| ApiError::invalid(field, format!("must be {}", error.expected));
        Ok(ProfileDraft {
            profile_label: self.profile_label.parse().map_err(|error| refused("profile_label", error))?,
            arn: self.inference_profile_arn.parse().map_err(|error| refused("inference_profile_arn", error))?,
            description: self.description,
        })
    }
}

/// A registered inference profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceProfile)]
pub struct ProfileResponse {
    /// The organization.
    #[schema(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application.
    #[schema(example = "chat")]
    app_id: String,
    /// Its label, inside the application.
    #[schema(example = "support-profile")]
    profile_label: String,
    /// What to pass to Bedrock as `modelId`.
    #[schema(example = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0")]
    inference_profile_arn: String,
    /// For a person; may be empty.
    #[schema(example = "Support chat, billed to the support team")]
    description: String,
    /// Region of the ARN, the only one Bedrock takes it in.
    #[schema(example = "us-east-1")]
    region: String,
    /// The model behind it. Null for an `application-inference-profile` until its first use, when AWS is asked.
    #[schema(example = "amazon.nova-pro-v1:0")]
    model: Option<String>,
    /// What is priced when it is called: that model with the prefix of its scope (`us.`, `eu.`, `global.`, …; none for a
    /// single region). Null as `model` is.
    #[schema(example = "us.amazon.nova-pro-v1:0")]
    priced_model_id: Option<String>,
    /// When it was registered, RFC 3339 UTC.
    #[schema(example = "2026-01-23T15:30:45.123Z")]
    created_at: String,
}

impl ProfileResponse {
    fn new(state: &ApiState, profile: &InferenceProfile) -> Self {
        let (priced_model_id, model) =
            state.services.known_target(&profile.arn).map(|target| (target.model_id, target.model)).unzip();
        Self {
            org_id: profile.org_id.to_string(),
            app_id: profile.app_id.to_string(),
            profile_label: profile.profile_label.to_string(),
            inference_profile_arn: profile.arn.to_string(),
            description: profile.description.clone(),
            region: profile.arn.region().to_owned(),
            model,
            priced_model_id,
            created_at: instant(profile.created_at),
        }
    }
}

/// A page of inference profiles.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileListResponse {
    /// Profiles in ascending order of label.
    items: Vec<ProfileResponse>,
    /// Pass as `cursor` for the next page; null on the last one.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// Path of an inference profile.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "exists for the document")]
pub struct ProfileParam {
    /// The label it is registered under.
    #[param(pattern = "^[a-z][a-z0-9_-]{0,49}$", example = "support-profile")]
    profile_label: String,
}

/// Register an inference profile
///
/// Gives an inference profile a label inside the application. Submissions may use the label at once; they must then carry
/// `calling_region`. For a quota, or to be recommended, the label must be named by the quotas and the ordering of the
/// application. The same registration again changes nothing (200).
///
/// AWS is not asked here but on first use, about an `application-inference-profile` only; while it cannot be asked, usage
/// is accepted and counted as `UNPRICED`. An application may have 100 profiles.
///
/// For the application's own client, its organization's, and administrators: whoever provisions an ordering that names a
/// profile must be able to register it first.
#[utoipa::path(
    post,
    path = "/orgs/{org_id}/apps/{app_id}/inference-profiles",
    tag = "Inference profiles",
    params(AppParam),
    request_body = RegisterProfileRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "Registered before, just so", body = ProfileResponse),
        (status = 201, description = "Registered", body = ProfileResponse),
        CommonErrors,
        BodyErrors,
        NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: the label means something else already (another profile, another description, or a \
                label of the catalog; `details.field` names what differs), or the application has 100 profiles"),
    ),
)]
pub async fn register_profile(
    State(state): State<ApiState>,
    access: ProfileWriteAccess,
    Json(body): Json<RegisterProfileRequest>,
) -> ApiResult<(StatusCode, JsonBody<ProfileResponse>)> {
    let (status, profile) = match state.services.register_profile(&access, &body.into_draft()?).await? {
        Registration::Created(profile) => (StatusCode::CREATED, profile),
        Registration::Unchanged(profile) => (StatusCode::OK, profile),
    };
    Ok((status, JsonBody(ProfileResponse::new(&state, &profile))))
}

/// List an application's inference profiles
///
/// In ascending order of label, in pages: pass `next_cursor` as `cursor` until it is null.
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/inference-profiles",
    tag = "Inference profiles",
    params(AppParam, PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "A page", body = ProfileListResponse), CommonErrors, NotFoundError),
)]
pub async fn list_profiles(
    State(state): State<ApiState>,
    access: ProfileReadAccess,
    Query(page): Query<PageQuery>,
) -> ApiResult<JsonBody<ProfileListResponse>> {
    let limit = limit(page.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: Option<ModelLabel> = after(page.cursor.as_deref())?;
    let mut profiles = state.services.list_profiles(&access).await?;
    profiles.retain(|profile| after.as_ref().is_none_or(|after| profile.profile_label > *after));
    let next_cursor = cut(&mut profiles, limit, |profile| profile.profile_label.to_string());
    let items = profiles.iter().map(|profile| ProfileResponse::new(&state, profile)).collect();
    Ok(JsonBody(ProfileListResponse { items, next_cursor }))
}

/// Read an inference profile
#[utoipa::path(
    get,
    path = "/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}",
    tag = "Inference profiles",
    params(AppParam, ProfileParam),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The profile", body = ProfileResponse), CommonErrors, NotFoundError),
)]
pub async fn get_profile(
    State(state): State<ApiState>,
    access: ProfileReadAccess,
    ProfileLabelPath(label): ProfileLabelPath,
) -> ApiResult<JsonBody<ProfileResponse>> {
    let profile = state.services.get_profile(&access, &label).await?;
    Ok(JsonBody(ProfileResponse::new(&state, &profile)))
}

/// Delete an inference profile
///
/// Its label means nothing from then on; recorded usage stays. For the application's own client, its organization's, and
/// administrators.
#[utoipa::path(
    delete,
    path = "/orgs/{org_id}/apps/{app_id}/inference-profiles/{profile_label}",
    tag = "Inference profiles",
    params(AppParam, ProfileParam),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 204, description = "Deleted"),
        CommonErrors,
        NotFoundError,
        (status = 409, body = ErrorResponse,
            description = "`CONFLICT`: the application's ordering in effect names it (`details.field` is \
                `model_ordering`)"),
    ),
)]
pub async fn delete_profile(
    State(state): State<ApiState>,
    access: ProfileWriteAccess,
    ProfileLabelPath(label): ProfileLabelPath,
) -> ApiResult<StatusCode> {
    state.services.delete_profile(&access, &label).await?;
    Ok(StatusCode::NO_CONTENT)
}
