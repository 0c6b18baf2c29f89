//! An imitation of the Bedrock Converse endpoint: its form, and token counts that follow from the prompt.

use axum::extract::Path;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Where AWS names the kind of an error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// `POST /model/{modelId}/converse`. A model id with a colon comes percent-encoded, as the AWS SDKs send it.
pub(super) fn router() -> Router {
    Router::new().route("/model/{model_id}/converse", post(converse))
}

#[derive(Debug, Deserialize)]
struct ConverseRequest {
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Message {
    role: String,
    content: Vec<ContentBlock>,
}

#[derive(Debug, Deserialize, Serialize)]
struct ContentBlock {
    text: String,
}

/// Token counts as a Converse response carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenUsage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    cache_read_input_tokens: u64,
    cache_write_input_tokens: u64,
}

async fn converse(Path(model_id): Path<String>, body: Result<Json<ConverseRequest>, JsonRejection>) -> Response {
    if !model_id.starts_with("amazon.nova-") || model_id.contains('%') {
        return refused("The provided model identifier is invalid.");
    }
    let request = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return refused(&rejection.body_text()),
    };
    let prompt: String =
        request.messages.iter().flat_map(|message| &message.content).map(|block| &*block.text).collect();
    if prompt.is_empty() || request.messages.last().is_none_or(|message| message.role != "user") {
        return refused("A conversation must end with a user message that has text.");
    }
    let answer = ContentBlock { text: format!("(imitated answer of {model_id})") };
    Json(json!({
        "output": {"message": Message { role: "assistant".to_owned(), content: vec![answer] }},
        "stopReason": "end_turn",
        "usage": usage_of(&prompt),
        "metrics": {"latencyMs": 400 + spread(&prompt, 3, 900)},
    }))
    .into_response()
}

fn refused(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, [(ERROR_TYPE, "ValidationException")], Json(json!({ "message": message })))
        .into_response()
}

/// Counts of a long document and a page of answer. Every fourth prompt or so finds part of itself in the cache.
fn usage_of(prompt: &str) -> TokenUsage {
    let input_tokens = 24_000 + spread(prompt, 0, 26_000);
    let output_tokens = 1_200 + spread(prompt, 1, 1_400);
    let cache_read_input_tokens = if spread(prompt, 2, 4) == 0 { 4_096 } else { 0 };
    TokenUsage {
        input_tokens,
        output_tokens,
        total_tokens: input_tokens + output_tokens + cache_read_input_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens: 0,
    }
}

/// A number below `bound` that follows from the prompt (FNV-1a), another one for each `salt`.
fn spread(prompt: &str, salt: u8, bound: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let hash =
        prompt.bytes().chain([salt]).fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    // The low bits of this hash barely mix.
    (hash >> 24) % bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_from_the_prompt_and_vary() {
        assert_eq!(usage_of("a question"), usage_of("a question"));
        let counts: std::collections::BTreeSet<_> =
            (0..100).map(|n| usage_of(&format!("question {n}")).input_tokens).collect();
        assert!(counts.len() > 90, "{counts:?}");
        let cached = (0..400).filter(|n| usage_of(&format!("question {n}")).cache_read_input_tokens > 0).count();
        assert!((60..160).contains(&cached), "{cached}");
    }
}
