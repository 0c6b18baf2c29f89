//! One HTTP exchange: what was answered, or a sentence that says which exchange went wrong.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::CommandError;

/// Longer than the service lets a request take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Tries of a request that may be repeated.
const TRIES: u32 = 3;
/// Pause before a repetition; real time, because a store that stalls does so in real time.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// A client for loopback: a proxy of the environment has no part in it.
pub(super) fn client() -> Result<Client, CommandError> {
    Ok(Client::builder().no_proxy().timeout(TIMEOUT).build()?)
}

/// An answer with its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<i64>,
    pub(super) body: Value,
    what: String,
}

impl Answer {
    /// The body, if the status is the expected one.
    pub(super) fn expect<T: DeserializeOwned>(self, status: StatusCode) -> Result<T, CommandError> {
        if self.status != status {
            return Err(
                format!("{}: expected {status}, but the answer was {} {}", self.what, self.status, self.body).into()
            );
        }
        serde_json::from_value(self.body).map_err(|error| format!("{}: unexpected body: {error}", self.what).into())
    }

    /// The error code of a refusal.
    pub(super) fn error_code(&self) -> &str {
        self.body.get("error").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Sends a request. `what` names it for a person.
pub(super) async fn ask(what: impl Into<String>, request: RequestBuilder) -> Result<Answer, CommandError> {
    let what = what.into();
    let failed = |error: reqwest::Error| CommandError::from(format!("{what}: {error}"));
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.map_err(failed)?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    Ok(Answer { status, retry_after, body, what })
}

/// Sends a request that is safe to repeat again where no answer came or the service asks to come back.
pub(super) async fn ask_again(what: &str, request: impl Fn() -> RequestBuilder) -> Result<Answer, CommandError> {
    for _ in 1..TRIES {
        match ask(what, request()).await {
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(answer) => return Ok(answer),
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    ask(what, request()).await
}
