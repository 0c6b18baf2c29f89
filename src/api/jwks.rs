//! The public keys that verify tokens, for whoever wants to verify them without asking.

use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::router::ApiState;
use crate::domain::signing_key::Ed25519PublicKey;

/// How long an answer may be kept: a new key is met in tokens before, and whoever meets an unknown `kid` asks again.
const CACHE_CONTROL: &str = "public, max-age=300";

/// Public keys (RFC 7517 §5).
#[derive(Debug, Serialize, ToSchema)]
pub struct JwksResponse {
    /// The key that signs comes first. Empty where tokens are signed with a shared secret, which is never shown.
    keys: Vec<JwkResponse>,
}

/// A public Ed25519 key (RFC 8037 §2).
#[derive(Debug, Serialize, ToSchema)]
pub struct JwkResponse {
    /// Key type: `OKP`.
    #[schema(example = "OKP")]
    kty: &'static str,
    /// Curve: `Ed25519`.
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// The key, Base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Its name in the header of tokens: the thumbprint of RFC 7638.
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
    /// Use: `sig`.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    key_use: &'static str,
    /// The only algorithm it is for: `EdDSA`.
    #[schema(example = "EdDSA")]
    alg: &'static str,
}

impl From<&Ed25519PublicKey> for JwkResponse {
    fn from(key: &Ed25519PublicKey) -> Self {
        Self { kty: "OKP", crv: "Ed25519", x: key.x(), kid: key.kid(), key_use: "sig", alg: "EdDSA" }
    }
}

/// Public keys of tokens
///
/// The JWK Set of the Ed25519 keys that verify access tokens now. A valid signature says who issued a token, not that it
/// was not revoked since.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "Tokens",
    responses((
        status = 200,
        description = "Public keys; none where tokens are signed with a shared secret",
        body = JwksResponse,
        headers(("Cache-Control" = String, description = "`public, max-age=300`")),
    )),
)]
pub async fn get_jwks(State(state): State<ApiState>) -> impl IntoResponse {
    let keys = state.services.signer.public_keys(state.services.now());
    let body = JwksResponse { keys: keys.iter().map(JwkResponse::from).collect() };
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], JsonBody(body))
}
