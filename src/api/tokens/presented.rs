//! How a client presents its id and secret: in the body, or in an HTTP Basic header (RFC 6749 §2.3.1).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use secrecy::{ExposeSecret, SecretString};

use crate::api::error::ApiError;

/// Id and secret as a request presents them, so far believed by nobody.
#[derive(Debug, Default)]
pub(in crate::api) struct Presented {
    pub(in crate::api) client_id: Option<String>,
    pub(in crate::api) secret: Option<SecretString>,
}

pub(super) const MALFORMED_BASIC: &str = "the HTTP Basic credentials are malformed";

/// Whether the caller tried HTTP Basic, whatever came of it.
fn uses_basic(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|value| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"basic")
    })
}

/// The credentials of an HTTP Basic header; `None` without one. Another scheme does not authenticate a client.
pub(in crate::api) fn basic(headers: &HeaderMap) -> Result<Option<Presented>, ApiError> {
    if !uses_basic(headers) {
        return Ok(None);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::invalid("authorization", "must stand once"));
    };
    decode_basic(value).map(Some).ok_or_else(|| ApiError::unauthorized(MALFORMED_BASIC))
}

fn decode_basic(value: &HeaderValue) -> Option<Presented> {
    let (_, encoded) = value.to_str().ok()?.split_once(' ')?;
    let pair = STANDARD.decode(encoded.trim()).ok()?;
    let mut parts = pair.splitn(2, |byte| *byte == b':');
    let client_id = percent_decode(parts.next()?).decode_utf8().ok()?.into_owned();
    // A '+' stays one, though form encoding would read it as a space: secrets are base64 and hold '+' but never a
    // space or '%', so a client that encodes and one that forgets to are both understood.
    let secret = percent_decode(parts.next()?).decode_utf8().ok()?.into_owned();
    Some(Presented { client_id: Some(client_id), secret: Some(secret.into()) })
}

/// What Basic and body present together. A client may say it twice (some do), but not two things.
pub(super) fn merged(basic: Option<Presented>, body: Presented) -> Result<Presented, ApiError> {
    let Some(basic) = basic else { return Ok(body) };
    let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
    if body.client_id.is_some() && body.client_id != basic.client_id {
        return Err(ApiError::invalid("client_id", "differs from the one in the HTTP Basic header"));
    }
    if body.secret.is_some() && body.secret.as_ref().map(exposed) != basic.secret.as_ref().map(exposed) {
        return Err(ApiError::invalid("client_secret", "differs from the one in the HTTP Basic header"));
    }
    Ok(basic)
}

/// Whether a refusal carries the Basic challenge: where Basic was tried (RFC 6749 §5.2), but not for a script in a
/// browser. The browser would keep the answer from the script and open a login dialogue of its own. Scripts that know
/// this say so in `X-Requested-With`; Swagger UI is one.
pub(super) fn wants_challenge(headers: &HeaderMap) -> bool {
    let scripted =
        headers.get("x-requested-with").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"xmlhttprequest"));
    uses_basic(headers) && !scripted
}

/// Adds the Basic challenge to a 401, where one is wanted.
pub(super) fn with_challenge(mut error: ApiError, wanted: bool) -> ApiError {
    if wanted && error.status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"bedrock-cost-keeper\", charset=\"UTF-8\"");
        error.headers.append(header::WWW_AUTHENTICATE, challenge);
    }
    error
}
