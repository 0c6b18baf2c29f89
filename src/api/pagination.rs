//! Lists: `limit`, opaque cursors, `{items, next_cursor}`.

use std::str::FromStr;

use axum::http::HeaderName;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;

/// Where an answer that is not JSON says what to pass as `cursor` for the next page.
pub const NEXT_CURSOR_HEADER: HeaderName = HeaderName::from_static("x-next-cursor");
/// Most items of a page.
pub const MAX_LIMIT: u32 = 200;
/// Items of a page where nothing is asked for.
pub const DEFAULT_LIMIT: u32 = 50;

/// Page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items to answer, 1–200; default 50.
    #[param(minimum = 1, maximum = 200, example = 50)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A limit within `1..=max`.
///
/// # Errors
/// 400 naming `limit`.
pub fn limit(asked: Option<i64>, default: u32, max: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(default),
        Some(asked) => u32::try_from(asked)
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or_else(|| ApiError::invalid("limit", format!("must be between 1 and {max}"))),
    }
}

/// Where a page starts: after the position behind its cursor.
///
/// # Errors
/// As [`decode_cursor`].
pub fn after<T: FromStr>(cursor: Option<&str>) -> Result<Option<T>, ApiError> {
    cursor.map(|cursor| decode_cursor(cursor, |text| text.parse().ok())).transpose()
}

/// Cuts what was read to a page, and answers the cursor of the next one. More than `limit` items, one is enough, say
/// that there is a next one.
pub fn cut<T>(items: &mut Vec<T>, limit: u32, position: impl Fn(&T) -> String) -> Option<String> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    items.last().filter(|_| more).map(|last| encode_cursor(&position(last)))
}

/// Version prefix of cursors, so that a later form is told apart.
const CURSOR_PREFIX: &str = "1:";

/// An opaque cursor for a position.
#[must_use]
pub fn encode_cursor(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR_PREFIX}{position}"))
}

/// The position behind a cursor.
///
/// # Errors
/// 400 naming `cursor` for one this service did not make.
pub fn decode_cursor<T>(cursor: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ApiError> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(CURSOR_PREFIX).and_then(parse))
        .ok_or_else(|| ApiError::invalid("cursor", "must be the next_cursor of an earlier answer"))
}
