//! A page of a range as a CSV file.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use csv::Writer;

use super::{RangeResponse, RangeRowBody};
use crate::api::ApiResult;
use crate::api::error::ApiError;
use crate::api::pagination::NEXT_CURSOR_HEADER;

/// Columns after those of the group, in the order of [`figures`].
const FIGURES: [&str; 8] = [
    "cost_usd_micros",
    "requests",
    "errors",
    "unpriced_requests",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
];

fn figures(row: &RangeRowBody) -> [u64; FIGURES.len()] {
    let totals = &row.totals;
    [
        totals.cost_usd_micros,
        totals.requests,
        totals.errors,
        totals.unpriced_requests,
        totals.input_tokens,
        totals.output_tokens,
        totals.cache_read_input_tokens,
        totals.cache_write_input_tokens,
    ]
}

/// The same rows as in JSON, below a line that names the columns.
///
/// Days, labels and application ids start with a letter or digit, so no cell is ever taken for a formula.
pub(super) fn to_csv(page: &RangeResponse) -> Result<Vec<u8>, csv::Error> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(page.group_by.iter().chain(&FIGURES))?;
    for row in &page.rows {
        let group = [&row.day, &row.app, &row.model].into_iter().flatten().cloned();
        writer.write_record(group.chain(figures(row).map(|figure| figure.to_string())))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Name of the file: ids and days only, all of which are safe in a header and on every file system.
fn file_name(page: &RangeResponse) -> String {
    let app = page.app_id.as_ref().map(|app_id| format!("_{app_id}")).unwrap_or_default();
    format!("usage_{}{app}_{}_{}.csv", page.org_id, page.from, page.to)
}

pub(super) fn respond(page: &RangeResponse) -> ApiResult<Response> {
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a range could not be written as CSV");
        ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let body = to_csv(page).map_err(|error| internal(&error))?;
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", file_name(page)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(|error| internal(&error))?);
    if let Some(cursor) = &page.next_cursor {
        headers.insert(NEXT_CURSOR_HEADER, HeaderValue::from_str(cursor).map_err(|error| internal(&error))?);
    }
    Ok(response)
}
