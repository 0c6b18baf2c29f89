//! Entry points for fuzzing what no public function reaches. Not part of the interface.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use secrecy::ExposeSecret as _;

use super::client_address::behind_proxies;
use super::error::ApiError;
use super::tokens::basic;

fn headers(name: &HeaderName, lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        // What cannot stand in a header never arrives.
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    headers
}

/// Id and secret of HTTP Basic credentials, from the lines of an `Authorization` header.
///
/// # Errors
/// As a token request with such a header is refused.
pub fn basic_credentials(lines: &[u8]) -> Result<Option<(String, String)>, ApiError> {
    let presented = basic(&headers(&header::AUTHORIZATION, lines))?;
    Ok(presented.map(|presented| {
        let secret = presented.secret.map(|secret| secret.expose_secret().to_owned());
        (presented.client_id.unwrap_or_default(), secret.unwrap_or_default())
    }))
}

/// The client's address by the lines of an `X-Forwarded-For` header.
#[must_use]
pub fn forwarded_for(peer: IpAddr, lines: &[u8], trusted: &[IpNet]) -> IpAddr {
    behind_proxies(peer, &headers(&HeaderName::from_static("x-forwarded-for"), lines), trusted)
}
