//! Wire form of submissions, and what they mean.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{from_json, optional_object, optional_objects};
use super::usage_words::{CallStatusWord, LatencyWord, ServiceTierWord};
use crate::domain::ids::InvalidId;
use crate::domain::money::MicroUsd;
use crate::domain::pricing::{Latency, ServiceTier};
use crate::domain::tokens::{MAX_TOKENS_PER_SUBMISSION, TokenCounts};
use crate::service::metering::Submission;

/// Longest model id or ARN; AWS allows 2048.
const MAX_MODEL_ID_LEN: usize = 2048;
/// Largest cost a client may report for one submission: one million dollars.
const MAX_COST_USD_MICROS: u64 = 1_000_000_000_000;

/// The `usage` object of a Bedrock Converse response, passed on as it is. Unknown members are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConverseUsage {
    /// Prompt tokens outside the cache.
    #[schema(example = 1500)]
    input_tokens: u64,
    /// Generated tokens.
    #[schema(example = 800)]
    output_tokens: u64,
    /// All of them. Tells whether a model counted cached tokens as input too; then they are charged once.
    #[schema(example = 2300)]
    total_tokens: Option<u64>,
    /// Prompt tokens read from the cache.
    cache_read_input_tokens: Option<u64>,
    /// Prompt tokens written to the cache.
    cache_write_input_tokens: Option<u64>,
    /// The same by time to live. Used where it sums to `cacheWriteInputTokens`.
    #[serde(default, deserialize_with = "optional_objects")]
    cache_details: Option<Vec<CacheDetail>>,
}

/// Cache writes of one time to live.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheDetail {
    /// `5m` or `1h`.
    #[schema(example = "1h")]
    ttl: String,
    /// Prompt tokens written.
    input_tokens: u64,
}

macro_rules! submission_request {
    ($(#[$meta:meta])* $name:ident { $($extra:tt)* }) => {
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            /// Idempotency key: a UUID made by the caller, kept the same when a submission is repeated.
            #[schema(format = Uuid, example = "7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11")]
            request_id: String,
            /// Label the call is charged to.
            #[schema(example = "premium")]
            model_label: String,
            /// The model that was called, where it is not the label's own: a model id or an ARN. It is what is priced.
            #[schema(max_length = 2048)]
            bedrock_model_id: Option<String>,
            /// Region the call was made from. Required where the label is an inference profile.
            #[schema(example = "us-east-1", pattern = "^[a-z]{2}(-[a-z]+)+-\\d$")]
            calling_region: Option<String>,
            /// Outcome of the call.
            status: CallStatusWord,
            /// When the call happened, RFC 3339. Missing = now. Accepted from 24 hours before the start of the
            /// organization's current day until five minutes ahead.
            #[schema(format = DateTime)]
            timestamp: Option<String>,
            /// Prompt tokens outside the cache.
            #[schema(example = 1500, maximum = 1_000_000_000_000_u64)]
            input_tokens: Option<u64>,
            /// Generated tokens.
            #[schema(example = 800, maximum = 1_000_000_000_000_u64)]
            output_tokens: Option<u64>,
            /// Prompt tokens read from the cache.
            #[schema(maximum = 1_000_000_000_000_u64)]
            cache_read_input_tokens: Option<u64>,
            /// Prompt tokens written to the cache, of every time to live.
            #[schema(maximum = 1_000_000_000_000_u64)]
            cache_write_input_tokens: Option<u64>,
            /// The part of `cache_write_input_tokens` kept for one hour.
            #[schema(maximum = 1_000_000_000_000_u64)]
            cache_write_1h_input_tokens: Option<u64>,
            /// Instead of the token counts above: the `usage` object of a Converse response.
            #[serde(default, deserialize_with = "optional_object")]
            #[schema(nullable = true)]
            usage: Option<ConverseUsage>,
            /// Processing tier of the response; default `default`.
            #[schema(nullable = true)]
            service_tier: Option<ServiceTierWord>,
            /// Latency profile of the response; default `standard`.
            #[schema(nullable = true)]
            latency: Option<LatencyWord>,
            $($extra)*
        }
    };
}

submission_request! {
    /// Usage of one call; the service computes its cost. Token counts are required, either as fields or as `usage`.
    #[schema(example = json!({
        "request_id": "7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11",
        "model_label": "premium",
        "status": "OK",
        "input_tokens": 1500,
        "output_tokens": 800
    }))]
    UsageRequest {
        /// Not for this path: accepted only to say so.
        #[serde(default, rename = "cost_usd_micros", deserialize_with = "present")]
        #[schema(ignore)]
        misplaced_cost: Option<IgnoredAny>,
    }
}

submission_request! {
    /// Cost of one call as the client computed it; it is charged as given. Token counts are optional.
    #[schema(example = json!({
        "request_id": "0b8f5d6e-3a52-4d0c-8f0e-6f0f9a3c7e22",
        "model_label": "premium",
        "status": "OK",
        "cost_usd_micros": 3760,
        "input_tokens": 1500,
        "output_tokens": 800
    }))]
    CostRequest {
        /// Charged cost in micro-USD.
        #[schema(example = 3760, maximum = 1_000_000_000_000_u64)]
        cost_usd_micros: u64,
    }
}

/// Several submissions. Each is read by itself: a bad one fails alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageBatchRequest {
    /// 1 to 100 submissions.
    #[schema(value_type = Vec<UsageRequest>, min_items = 1, max_items = 100)]
    pub requests: Vec<Box<RawValue>>,
}

/// Several submissions with the client's costs. Each is read by itself: a bad one fails alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostBatchRequest {
    /// 1 to 100 submissions.
    #[schema(value_type = Vec<CostRequest>, min_items = 1, max_items = 100)]
    pub requests: Vec<Box<RawValue>>,
}

/// That a member is there at all, null included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

/// A wire form that means a submission.
pub trait SubmissionBody: Sized + for<'de> Deserialize<'de> {
    /// What it means.
    ///
    /// # Errors
    /// 400 `INVALID_REQUEST` naming the field.
    fn into_submission(self) -> Result<Submission, ApiError>;

    /// Reads one record of a batch.
    ///
    /// # Errors
    /// 400 `INVALID_REQUEST` naming the field.
    fn from_record(record: &RawValue) -> Result<Submission, ApiError> {
        from_json::<Self>(record.get().as_bytes())?.into_submission()
    }
}

/// Reads a field with its own rule.
fn parsed<T: std::str::FromStr<Err = InvalidId>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: InvalidId| ApiError::invalid(field, format!("must be {}", error.expected)))
}

macro_rules! common_submission {
    ($request:expr, $tokens_required:expr, $client_cost:expr) => {{
        let request = $request;
        let flat = FlatTokens {
            input: request.input_tokens,
            output: request.output_tokens,
            cache_read: request.cache_read_input_tokens,
            cache_write: request.cache_write_input_tokens,
            cache_write_1h: request.cache_write_1h_input_tokens,
        };
        Ok(Submission {
            request_id: parsed("request_id", &request.request_id)?,
            model_label: parsed("model_label", &request.model_label)?,
            bedrock_model_id: request.bedrock_model_id.map(model_id).transpose()?,
            calling_region: request.calling_region.map(region).transpose()?,
            status: request.status.into(),
            timestamp: request.timestamp.map(|text| timestamp(&text)).transpose()?,
            reported_total_tokens: request.usage.as_ref().and_then(|usage| usage.total_tokens),
            cache_ttl_assumed: request.usage.as_ref().is_some_and(ConverseUsage::cache_ttl_assumed),
            tokens: tokens(flat, request.usage, $tokens_required)?,
            service_tier: request.service_tier.map_or(ServiceTier::Default, Into::into),
            latency: request.latency.map_or(Latency::Standard, Into::into),
            client_cost: $client_cost,
        })
    }};
}

impl SubmissionBody for UsageRequest {
    fn into_submission(self) -> Result<Submission, ApiError> {
        if self.misplaced_cost.is_some() {
            return Err(ApiError::invalid(
                "cost_usd_micros",
                "is not taken here; submit a cost of your own to …/costs",
            ));
        }
        common_submission!(self, true, None)
    }
}

impl SubmissionBody for CostRequest {
    fn into_submission(self) -> Result<Submission, ApiError> {
        if self.cost_usd_micros > MAX_COST_USD_MICROS {
            return Err(ApiError::invalid("cost_usd_micros", format!("must not exceed {MAX_COST_USD_MICROS}")));
        }
        let cost = MicroUsd(self.cost_usd_micros);
        common_submission!(self, false, Some(cost))
    }
}

/// Token counts given as fields of the submission.
#[derive(Clone, Copy)]
struct FlatTokens {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
}

impl FlatTokens {
    fn any(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h].iter().any(Option::is_some)
    }
}

fn tokens(flat: FlatTokens, usage: Option<ConverseUsage>, required: bool) -> Result<TokenCounts, ApiError> {
    let counts = match usage {
        Some(_) if flat.any() => {
            return Err(ApiError::invalid("usage", "stands instead of the token counts, not beside them"));
        }
        Some(usage) => from_converse(&usage),
        None => {
            let needed = |field: &str, count: Option<u64>| match count {
                None if required => Err(ApiError::invalid(field, "is required where no usage object is given")),
                count => Ok(count.unwrap_or(0)),
            };
            TokenCounts {
                input: needed("input_tokens", flat.input)?,
                output: needed("output_tokens", flat.output)?,
                cache_read: flat.cache_read.unwrap_or(0),
                cache_write: flat.cache_write.unwrap_or(0),
                cache_write_1h: flat.cache_write_1h.unwrap_or(0),
            }
        }
    };
    for (field, count) in [
        ("input_tokens", counts.input),
        ("output_tokens", counts.output),
        ("cache_read_input_tokens", counts.cache_read),
        ("cache_write_input_tokens", counts.cache_write),
    ] {
        if count > MAX_TOKENS_PER_SUBMISSION {
            return Err(ApiError::invalid(field, format!("must not exceed {MAX_TOKENS_PER_SUBMISSION}")));
        }
    }
    if counts.cache_write_1h > counts.cache_write {
        let reason = "is a part of cache_write_input_tokens and must not exceed it";
        return Err(ApiError::invalid("cache_write_1h_input_tokens", reason));
    }
    Ok(counts)
}

impl ConverseUsage {
    fn details(&self) -> &[CacheDetail] {
        self.cache_details.as_deref().unwrap_or_default()
    }

    /// Times to live are believed where they add up to the write count; else everything counts as five minutes, and
    /// the price is an estimate.
    fn cache_ttl_assumed(&self) -> bool {
        let sum = self.details().iter().try_fold(0_u64, |sum, detail| sum.checked_add(detail.input_tokens));
        sum != Some(self.cache_write_input_tokens.unwrap_or(0))
    }
}

fn from_converse(usage: &ConverseUsage) -> TokenCounts {
    let hour = usage.details().iter().filter(|detail| detail.ttl == "1h").map(|detail| detail.input_tokens);
    TokenCounts {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cache_read: usage.cache_read_input_tokens.unwrap_or(0),
        cache_write: usage.cache_write_input_tokens.unwrap_or(0),
        // Cannot overflow: the counts were added up without.
        cache_write_1h: if usage.cache_ttl_assumed() { 0 } else { hour.sum() },
    }
}

fn model_id(text: String) -> Result<String, ApiError> {
    let plain = !text.is_empty() && text.len() <= MAX_MODEL_ID_LEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        Ok(text)
    } else {
        Err(ApiError::invalid(
            "bedrock_model_id",
            format!("must be a model id or ARN of 1 to {MAX_MODEL_ID_LEN} visible ASCII characters"),
        ))
    }
}

/// `^[a-z]{2}(-[a-z]+)+-\d$`, at most 32 characters.
fn region(text: String) -> Result<String, ApiError> {
    let words: Vec<&str> = text.split('-').collect();
    let valid = match words.as_slice() {
        [country, middle @ .., number] => {
            let lower = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            country.len() == 2
                && lower(country)
                && !middle.is_empty()
                && middle.iter().all(lower)
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    if valid && text.len() <= 32 {
        Ok(text)
    } else {
        Err(ApiError::invalid("calling_region", "must be an AWS region such as us-east-1"))
    }
}

fn timestamp(text: &str) -> Result<Timestamp, ApiError> {
    rfc3339(text)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ApiError::invalid("timestamp", "must be an RFC 3339 instant such as 2026-01-23T15:30:45Z"))
}

/// The text where it has the form of RFC 3339, with at most nine digits of a second's fraction. The library reads other
/// ISO 8601 forms too; the contract has one.
fn rfc3339(text: &str) -> Option<String> {
    let (date_time, rest) = text.split_at_checked("2026-01-23T15:30:45".len())?;
    let formed = date_time.bytes().enumerate().all(|(i, byte)| match i {
        4 | 7 => byte == b'-',
        10 => matches!(byte, b'T' | b't' | b' '),
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("", rest),
    };
    let offset_formed = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hours @ .., b':', m1, m2] => {
            hours.len() == 2 && hours.iter().chain([m1, m2]).all(u8::is_ascii_digit)
        }
        _ => false,
    };
    let fraction_formed = rest.starts_with('.') != fraction.is_empty();
    let fraction: String = fraction.chars().take(9).collect();
    let dot = if fraction.is_empty() { "" } else { "." };
    (formed && offset_formed && fraction_formed).then(|| format!("{date_time}{dot}{fraction}{offset}"))
}

#[cfg(test)]
#[path = "usage_request_tests.rs"]
mod tests;
