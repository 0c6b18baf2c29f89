//! Request parts as typed arguments. Each refusal is a 4xx that names the field.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::refusal::refused;
use super::router::ApiState;
use crate::domain::ids::InvalidId;

/// A JSON body. Refuses other media types (415), bodies that are too large (413) or too slow (408), and JSON that is
/// malformed or has a wrong type, a missing, unknown or duplicate member (400 with the path to it).
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = read_body(request, state).await?;
        from_json(&body).map(Self)
    }
}

/// A JSON body that may be left out altogether.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let body = read_body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        from_json(&body).map(Self)
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// Whether the body says it is JSON.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| {
        media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
    })
}

/// Whether the body is a form, as OAuth2 clients send it.
#[must_use]
pub fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| media == "application/x-www-form-urlencoded")
}

/// Whether the body says it is YAML.
#[must_use]
pub fn is_yaml(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| {
        matches!(media.as_str(), "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml")
    })
}

/// Whether the body comes as it is. A compressed one is refused: what a few bytes may grow to is nothing to find out.
fn is_plain(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    codings.iter().all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Reads a body whole, within the configured size and time.
///
/// # Errors
/// 415 for a compressed body, 413, 408, or 400 where the connection breaks.
pub async fn read_body(request: Request, state: &ApiState) -> Result<Bytes, ApiError> {
    if !is_plain(request.headers()) {
        let mut error = ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .with_details(serde_json::json!({ "field": "Content-Encoding" }))
            .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        "the body must not be compressed: send it without Content-Encoding".clone_into(&mut error.message);
        return Err(error);
    }
    let limit = state.settings.body_limit_bytes;
    let announced = request.body().size_hint().lower();
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("the body is larger than {limit} bytes"),
        )
    };
    if usize::try_from(announced).is_ok_and(|announced| announced > limit) {
        return Err(too_large());
    }
    let timeout: Duration = state.settings.read_timeout;
    let read = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(timeout, read).await {
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "REQUEST_TIMEOUT",
            format!("the body did not arrive within {} s", timeout.as_secs()),
        )),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if is_length_limit(error.as_ref()) => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the body could not be read")),
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if error.is::<LengthLimitError>() {
            return true;
        }
        current = error.source();
    }
    false
}

/// Parses JSON; a refusal names the path of the offending member.
///
/// # Errors
/// 400 `INVALID_REQUEST`.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // A struct could also be read from an array of its fields in the order of our source: nobody's contract.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
        return Err(ApiError::invalid("body", "must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| refused(error, "body"))?;
    reader.end().map_err(|error| ApiError::invalid("body", error))?;
    Ok(parsed)
}

/// A query string. Unknown and malformed parameters are refused by name.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, ApiError> {
        from_pairs(parts.uri.query().unwrap_or_default().as_bytes(), "query").map(Self)
    }
}

/// Parses `name=value` pairs, of a query string or a form; a refusal names the offending one, or `whole`.
///
/// # Errors
/// 400 `INVALID_REQUEST`.
pub fn from_pairs<T: DeserializeOwned>(pairs: &[u8], whole: &str) -> Result<T, ApiError> {
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(pairs));
    serde_path_to_error::deserialize(reader).map_err(|error| refused(error, whole))
}

/// A path parameter.
///
/// # Errors
/// 400 `INVALID_REQUEST` naming the parameter.
pub async fn path_param<T: FromStr<Err = InvalidId>>(
    parts: &mut Parts,
    state: &ApiState,
    name: &'static str,
) -> Result<T, ApiError> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::invalid("path", "must be percent-encoded UTF-8"))?;
    let raw = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default();
    raw.parse().map_err(|error: InvalidId| ApiError::invalid(name, format!("must be {}", error.expected)))
}

/// Reads an optional member that is an object. The derived reader would also take an array of its fields in the order
/// of our source, which is nobody's contract.
///
/// # Errors
/// For anything but an object or null.
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// Reads an optional member that is a list of objects.
///
/// # Errors
/// For anything but a list of objects or null.
pub fn optional_objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(objects.map(|objects| objects.into_iter().map(|object| object.0).collect()))
}

/// Reads a list of objects.
///
/// # Errors
/// For anything but a list of objects.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}

/// A value that is read from an object only.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(access)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A JSON object as a map in which a key may stand only once: the usual map would keep the last one silently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UniqueMap<V>(pub BTreeMap<String, V>);

impl<V> Default for UniqueMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = access.next_entry::<String, V>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom("a key stands twice in the object"));
                    }
                    map.insert(key, value);
                }
                Ok(UniqueMap(map))
            }
        }
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}
