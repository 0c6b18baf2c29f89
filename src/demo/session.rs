//! An OAuth2 client: gets an access token, keeps it, and renews it before it expires.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::ask;
use crate::cli::CommandError;
use crate::clock::Clock;

/// How long before its end a token is renewed, so that it never expires on the way.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// Credentials as an administrator gets them for a new tenant. Without `Debug`: the secret is for nobody's eyes.
#[derive(Deserialize)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: i64,
    refresh_expires_in: Option<i64>,
}

struct Tokens {
    access: String,
    access_until: Timestamp,
    refresh: String,
    refresh_until: Timestamp,
}

/// The tokens of one client.
pub(super) struct Session {
    http: reqwest::Client,
    api: String,
    clock: Arc<dyn Clock>,
    credentials: Credentials,
    tokens: Option<Tokens>,
    /// How often an access token was renewed with the refresh token.
    pub(super) renewals: u32,
}

impl Session {
    pub(super) fn new(http: reqwest::Client, api: &str, clock: Arc<dyn Clock>, credentials: Credentials) -> Self {
        Self { http, api: api.to_owned(), clock, credentials, tokens: None, renewals: 0 }
    }

    /// An access token that is good for a minute at least.
    pub(super) async fn access_token(&mut self) -> Result<String, CommandError> {
        let now = self.clock.now();
        let soon = now.checked_add(RENEW_BEFORE)?;
        let tokens = match self.tokens.take() {
            Some(tokens) if soon < tokens.access_until => tokens,
            Some(tokens) if soon < tokens.refresh_until => {
                self.renewals += 1;
                self.renewed(tokens, now).await?
            }
            _ => self.logged_in(now).await?,
        };
        Ok(self.tokens.insert(tokens).access.clone())
    }

    async fn logged_in(&self, now: Timestamp) -> Result<Tokens, CommandError> {
        let answer = self
            .request(
                "/auth/token",
                json!({
                    "grant_type": "client_credentials",
                    "client_id": self.credentials.client_id,
                    "client_secret": self.credentials.client_secret,
                }),
            )
            .await?;
        let (Some(refresh), Some(lifetime)) = (answer.refresh_token, answer.refresh_expires_in) else {
            return Err("POST /auth/token: the answer has no refresh token".into());
        };
        Ok(Tokens {
            access: answer.access_token,
            access_until: now.checked_add(SignedDuration::from_secs(answer.expires_in))?,
            refresh,
            refresh_until: now.checked_add(SignedDuration::from_secs(lifetime))?,
        })
    }

    async fn renewed(&self, old: Tokens, now: Timestamp) -> Result<Tokens, CommandError> {
        let answer =
            self.request("/auth/refresh", json!({"grant_type": "refresh_token", "refresh_token": old.refresh})).await?;
        Ok(Tokens {
            access: answer.access_token,
            access_until: now.checked_add(SignedDuration::from_secs(answer.expires_in))?,
            ..old
        })
    }

    async fn request(&self, path: &str, body: Value) -> Result<TokenAnswer, CommandError> {
        let request = self.http.post(format!("{}{path}", self.api)).json(&body);
        ask(format!("POST {path}"), request).await?.expect(StatusCode::OK)
    }
}
