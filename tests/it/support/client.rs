//! Calls over real HTTP, and answers that check what every answer must have.

use std::future::{Future, IntoFuture};
use std::ops::Index;
use std::pin::Pin;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::server::ADMIN_KEY;

/// A call in the making; awaiting it sends it.
pub(crate) struct Call(pub(super) reqwest::RequestBuilder);

impl Call {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With the provisioning key.
    pub(crate) fn admin(self) -> Self {
        self.header("x-api-key", ADMIN_KEY)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(self, media: &str, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.header("content-type", media).body(body.into()))
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let response = self.0.send().await.expect("the server answers");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await.expect("the answer arrives whole").to_vec();
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Reply { status, headers, body, json }
        })
    }
}

/// An answer. Indexing reads a member of its JSON body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Null where the body is no JSON.
    pub(crate) json: Value,
}

impl Index<&str> for Reply {
    type Output = Value;
    fn index(&self, member: &str) -> &Value {
        &self.json[member]
    }
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member that is text.
    #[track_caller]
    pub(crate) fn str(&self, member: &str) -> &str {
        self[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.text()))
    }

    /// Asserts a success and what every answer carries.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self.carries_what_every_answer_does();
        self
    }

    /// Asserts an error: its status and code, and the whole envelope.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> Self {
        let text = self.text();
        assert_eq!((self.status, self["error"].as_str()), (status, Some(code)), "{text}");
        self.carries_what_every_answer_does();
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("x-request-id"), self.str("request_id"), "{text}");
        assert!(!self.str("message").is_empty() && self["details"].is_object(), "{text}");
        let timestamp = self.str("timestamp");
        assert!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok(), "{text}");
        match status {
            401 => assert!(self.header("www-authenticate").contains("Bearer"), "{:?}", self.headers),
            429 | 503 => {
                assert!(self.header("retry-after").parse::<u64>().is_ok_and(|secs| secs > 0), "{:?}", self.headers);
            }
            _ => {}
        }
        self
    }

    /// Asserts a refusal of one field.
    #[track_caller]
    pub(crate) fn refuses(self, code: &str, field: &str) -> Self {
        let reply = self.error(400, code);
        assert_eq!(reply["details"]["field"], field, "{}", reply.text());
        reply
    }

    fn carries_what_every_answer_does(&self) {
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(!self.header("x-request-id").is_empty());
        assert!(!self.header("cache-control").is_empty());
    }
}
