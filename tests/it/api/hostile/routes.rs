//! Every operation that takes a body, with a body that would be good.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Call, Reply};
use crate::support::server::{PROFILE_ARN, TestServer};
use crate::support::tenants::{ORG, Tenant, app_body, cost, org_body, usage, with};

/// Most bytes of a refusal: it repeats nothing that was sent but short names.
const MAX_REFUSAL: usize = 4 * 1024;
/// Longest time of a refusal, also of a large body on a busy machine that runs unoptimized code.
const MAX_TIME: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Administrator,
    Client,
}

/// An operation with a body.
pub(super) struct Route {
    pub(super) name: &'static str,
    method: &'static str,
    path: String,
    who: Who,
    pub(super) body: Value,
}

impl Route {
    /// Whether each record is judged by itself.
    pub(super) fn is_batch(&self) -> bool {
        self.path.ends_with("/batch")
    }

    /// Whether it is for OAuth2 clients.
    pub(super) fn is_oauth(&self) -> bool {
        self.path.starts_with("/auth/")
    }
}

/// The tenants and a server on which everybody may call as often as it likes.
pub(super) async fn start() -> TestServer {
    TestServer::with(|setup| setup.config.rate_limits.enabled = false).await
}

/// Every operation of the document that takes a body.
pub(super) async fn routes(chat: &Tenant<'_>) -> Vec<Route> {
    let org = format!("/api/v1/orgs/{ORG}");
    let quotas = json!({"premium": 1, "standard": 2, "economy": 3});
    let overrides = json!({"tight_mode_threshold_pct": 90, "sticky_fallback_enabled": true,
        "exhausted_policy": "last", "refresh_interval_normal_secs": 10});
    let full_org = with(org_body(), json!({"monthly_quotas": quotas, "overrides": overrides}));
    let full_app = with(
        app_body(),
        json!({"model_ordering": ["premium"], "quotas": quotas, "monthly_quotas": quotas, "overrides": overrides}),
    );
    let without_delivery = |body: &Value| with(body.clone(), json!({"secret_delivery": null}));
    let import = json!({"orgs": [with(
        without_delivery(&full_org),
        json!({"org_id": ORG, "apps": [with(without_delivery(&full_app), json!({"app_id": "chat"}))]}),
    )]});
    let converse = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheWriteInputTokens": 4,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 4}]});
    let id = "00000000-0000-4000-8000-000000000001";
    let flat = with(
        usage(id, "premium"),
        json!({"bedrock_model_id": "amazon.nova-pro-v1:0", "calling_region": "us-east-1", "service_tier": "flex",
            "latency": "standard", "timestamp": "2026-01-23T15:30:00Z", "cache_read_input_tokens": 1}),
    );
    let nested = with(usage(id, "premium"), json!({"input_tokens": null, "output_tokens": null, "usage": converse}));
    let profile =
        json!({"profile_label": "support-profile", "inference_profile_arn": PROFILE_ARN, "description": "one line"});
    let rotation = json!({"grace_period_hours": 1, "secret_delivery": "inline"});
    let filter = json!({"org_id": ORG, "app_id": "chat", "from": "2026-01-01", "to": "2026-01-31", "dry_run": true,
        "limit": 5});
    let grant = json!({"grant_type": "client_credentials", "client_id": chat.client_id, "client_secret": "wrong"});
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": "wrong"});
    let fallback = json!({"model_label": "premium"});
    use Who::{Administrator, Client, Nobody};
    [
        ("organization", "PUT", org.clone(), Administrator, full_org),
        ("application", "PUT", format!("{org}/apps/chat"), Administrator, full_app),
        ("import", "POST", "/api/v1/config/import".to_owned(), Administrator, import),
        ("rotation of the organization", "POST", format!("{org}/credentials/rotate"), Administrator, rotation.clone()),
        ("rotation", "POST", format!("{org}/apps/chat/credentials/rotate"), Administrator, rotation),
        ("fallback of the organization", "PUT", format!("{org}/fallback"), Administrator, fallback.clone()),
        ("fallback", "PUT", format!("{org}/apps/chat/fallback"), Administrator, fallback),
        ("reprice", "POST", "/api/v1/reprice".to_owned(), Administrator, filter),
        ("profile", "POST", format!("{org}/apps/chat/inference-profiles"), Client, profile),
        ("usage", "POST", format!("{org}/apps/chat/usage"), Client, flat.clone()),
        ("usage as Converse has it", "POST", format!("{org}/apps/chat/usage"), Client, nested),
        ("costs", "POST", format!("{org}/apps/chat/costs"), Client, cost(id, "premium", 5)),
        ("usage batch", "POST", format!("{org}/apps/chat/usage/batch"), Client, json!({"requests": [flat]})),
        (
            "costs batch",
            "POST",
            format!("{org}/apps/chat/costs/batch"),
            Client,
            json!({"requests": [cost(id, "premium", 5)]}),
        ),
        ("token", "POST", "/auth/token".to_owned(), Nobody, grant),
        ("refresh", "POST", "/auth/refresh".to_owned(), Nobody, refresh),
        ("revoke", "POST", "/auth/revoke".to_owned(), Client, json!({"token": "x", "token_type_hint": "access_token"})),
    ]
    .into_iter()
    .map(|(name, method, path, who, body)| Route { name, method, path, who, body })
    .collect()
}

impl Route {
    /// The call with good credentials and no body yet.
    pub(super) fn call(&self, chat: &Tenant<'_>) -> Call {
        let call = chat.server.request(self.method, &self.path);
        match self.who {
            Who::Nobody => call,
            Who::Administrator => call.admin(),
            Who::Client => call.bearer(&chat.token),
        }
    }

    /// Sends a body as JSON and answers a reply that came in time and is short.
    pub(super) async fn send(&self, chat: &Tenant<'_>, body: impl Into<Vec<u8>>) -> Reply {
        in_time(self.call(chat).body("application/json", body), self.name).await
    }
}

/// A reply that came in time; a refusal among them is short and no fault of the service.
pub(super) async fn in_time(call: Call, what: &str) -> Reply {
    let started = Instant::now();
    let reply = call.await;
    assert!(started.elapsed() < MAX_TIME, "{what}: {:?}", started.elapsed());
    assert!(reply.status < 500, "{what}: {} {}", reply.status, reply.text());
    assert!(reply.status < 300 || reply.body.len() < MAX_REFUSAL, "{what}: {} bytes", reply.body.len());
    reply
}

/// Asserts a refusal of the request, or of the records of its batch, which are judged one by one.
pub(super) fn refused_or_failed(reply: Reply, what: &str) {
    if reply.status == 207 {
        let reply = reply.ok(207);
        assert_eq!(reply["accepted"], 0, "{what}: {}", reply.text());
    } else {
        refused(reply, what);
    }
}

/// Asserts a refusal of the request as such, and answers the field it names.
pub(super) fn refused(reply: Reply, what: &str) -> String {
    assert_eq!(reply.status, 400, "{what}: {}", reply.text());
    let code = reply.str("error").to_owned();
    assert!(matches!(code.as_str(), "INVALID_REQUEST" | "INVALID_CONFIG" | "INVALID_MODEL_LABEL"), "{what}: {code}");
    let reply = reply.error(400, &code);
    let field = reply["details"]["field"].as_str().unwrap_or_default().to_owned();
    assert!(!field.is_empty(), "{what}: names no field: {}", reply.text());
    let text = reply.str("message");
    for jargon in ["struct ", "sequence", "u64", "i64", "variant", "unit ", "tuple", "EOF", "serde"] {
        assert!(!text.contains(jargon), "{what}: {text}");
    }
    field
}

#[tokio::test]
async fn every_operation_with_a_body_is_attacked() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let document = server.get("/openapi.json").await.ok(200);
    let with_body: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter(|operation| operation.get("requestBody").is_some())
        .count();
    let mut attacked: Vec<_> = routes(&chat).await.into_iter().map(|route| (route.method, route.path)).collect();
    attacked.sort();
    attacked.dedup();
    assert_eq!(attacked.len(), with_body);
}

#[tokio::test]
async fn the_bodies_that_are_spoilt_are_good_otherwise() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    for route in routes(&chat).await {
        let reply = route.send(&chat, route.body.to_string()).await;
        // Of the organization there is none with quotas of its applications; and wrong credentials are wrong.
        let expected: &[u16] = match route.name {
            "fallback of the organization" => &[409],
            "token" | "refresh" => &[401],
            // One id in several submissions: what came second is a conflict, which is past the reading of it.
            _ => &[200, 201, 202, 204, 207, 409],
        };
        assert!(expected.contains(&reply.status), "{}: {}", route.name, reply.text());
    }
}
