//! Path parameters shared by many routes, for the OpenAPI document. Their examples belong together, so that whoever
//! tries one operation after the other in Swagger UI types nothing.

use utoipa::IntoParams;

/// Path of an organization.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "exists for the document")]
pub struct OrgParam {
    /// The organization, a UUID.
    #[param(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
}

/// Path of an application.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "exists for the document")]
pub struct AppParam {
    /// The organization, a UUID.
    #[param(format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    org_id: String,
    /// The application: 1 to 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "chat")]
    app_id: String,
}
