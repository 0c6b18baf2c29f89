//! The audit trail of changes: one event each, announced before anything happens, settled afterwards.

use bedrock_cost_keeper::domain::audit::AuditActor;
use bedrock_cost_keeper::service::access::Identity;
use serde_json::{Value, json};

use crate::support::client::{Call, Reply};
use crate::support::server::{ADMIN_KEY, JWT_SECRET, PROFILE_ARN, TestServer, request_id};
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, app_body, org_body, usage, with};

pub(super) const OTHER: &str = "/api/v1/orgs/660e8400-e29b-41d4-a716-446655440000";
/// A model no price list knows.
pub(super) const MODEL: &str = "acme.house-model-v1:0";

/// A page of the trail.
pub(super) async fn page(server: &TestServer, query: &str) -> Reply {
    server.get(&format!("/api/v1/audit{query}")).admin().await
}

/// The whole trail, the latest event first.
pub(super) async fn trail(server: &TestServer) -> Vec<Value> {
    let reply = page(server, "?limit=200").await.ok(200);
    assert_eq!(reply["next_cursor"], Value::Null, "a test leaves fewer events");
    reply["items"].as_array().unwrap().clone()
}

/// Events of the request with this id.
pub(super) async fn of_request(server: &TestServer, request_id: &str) -> Vec<Value> {
    trail(server).await.into_iter().filter(|event| event["request_id"] == request_id).collect()
}

/// How the trail names the administrator of these tests.
fn administrator(server: &TestServer) -> Value {
    let identity = server.app.services.provisioning_keys.verify(ADMIN_KEY).unwrap();
    let Identity::Administrator { key_id } = identity else { panic!("no administrator") };
    let actor = AuditActor::Administrator(key_id.clone());
    json!({"type": actor.kind(), "id": key_id})
}

/// Sends a call as `name`; answers the reply and the one event it left.
pub(super) async fn traced(server: &TestServer, name: &str, call: Call, status: u16) -> (Reply, Value) {
    let reply = call.header("x-request-id", name).await;
    assert_eq!(reply.status, status, "{name}: {}", reply.text());
    let events = of_request(server, name).await;
    assert_eq!(events.len(), 1, "{name}: {events:?}");
    (reply, events.into_iter().next().unwrap())
}

/// Asserts what an event says, besides its id.
#[track_caller]
fn says(event: &Value, expected: Value) {
    let mut event = event.clone();
    let id = event.as_object_mut().unwrap().remove("event_id").unwrap();
    assert!(id.as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{id}");
    assert_eq!(event, with(expected, json!({"at": "2026-01-23T15:30:45Z", "address": "127.0.0.1"})));
}

fn org_config() -> Value {
    json!({
        "org_name": "Acme", "timezone": "America/New_York", "quota_scope": "APP",
        "model_ordering": ["premium", "standard", "economy"],
        "quotas": {"premium": 10_000_000, "standard": 5_000_000, "economy": 1_000_000}, "agg_shard_count": 8,
    })
}

#[tokio::test]
async fn each_change_leaves_one_event_that_says_who_what_and_from_what_to_what() {
    let server = TestServer::start().await;
    let by = administrator(&server);
    let chat = format!("{OTHER}/apps/chat");
    let event = |request_id: &str, action: &str, app: bool, more: Value| {
        let base = json!({
            "actor": by, "action": action, "outcome": "succeeded", "org_id": OTHER_ORG, "request_id": request_id,
        });
        with(with(base, if app { json!({"app_id": "chat"}) } else { json!({}) }), more)
    };

    let (_, said) = traced(&server, "r1", server.put(OTHER).admin().json(&org_body()), 201).await;
    says(&said, event("r1", "org_created", false, json!({"after": org_config()})));

    let changed = with(org_body(), json!({"quotas": {"premium": 1, "standard": 5_000_000, "economy": 1_000_000}}));
    let (_, said) = traced(&server, "r2", server.put(OTHER).admin().json(&changed), 200).await;
    let change = json!({"before": {"quotas": {"premium": 10_000_000}}, "after": {"quotas": {"premium": 1}}});
    says(&said, event("r2", "org_updated", false, change));

    let (_, said) = traced(&server, "r3", server.put(&chat).admin().json(&app_body()), 201).await;
    says(&said, event("r3", "app_created", true, json!({"after": {"app_name": "Support chat"}})));

    let renamed = with(app_body(), json!({"app_name": "Chat", "quotas": {"premium": 7}}));
    let (_, said) = traced(&server, "r4", server.put(&chat).admin().json(&renamed), 200).await;
    let change =
        json!({"before": {"app_name": "Support chat"}, "after": {"app_name": "Chat", "quotas": {"premium": 7}}});
    says(&said, event("r4", "app_updated", true, change));

    let rotation = server.post(&format!("{chat}/credentials/rotate")).admin();
    let (reply, said) = traced(&server, "r5", rotation.json(&json!({"grace_period_hours": 2})), 200).await;
    let after = json!({
        "grace_period_hours": 2, "old_secret_expires_at": "2026-01-23T17:30:45Z", "delivery": "token",
    });
    says(&said, event("r5", "secret_rotated", true, json!({"after": after})));

    let retrieval = server.get(reply["secret_retrieval"]["url"].as_str().unwrap()).admin();
    let (_, said) = traced(&server, "r6", retrieval, 200).await;
    says(&said, event("r6", "secret_retrieved", true, json!({})));

    let (_, said) =
        traced(&server, "r7", server.post(&format!("{OTHER}/credentials/revoke-tokens")).admin(), 204).await;
    says(&said, event("r7", "tokens_revoked", false, json!({})));

    let fallback = |label: &str| server.put(&format!("{chat}/fallback")).admin().json(&json!({"model_label": label}));
    let state = |label: &str| json!({"model_label": label, "reason": {"kind": "MANUAL_OVERRIDE"}, "activated_at": "2026-01-23T15:30:45Z"});
    let day = json!({"subject": "2026-01-23"});
    let (_, said) = traced(&server, "r8", fallback("economy"), 200).await;
    says(&said, event("r8", "fallback_set", true, with(day.clone(), json!({"after": state("economy")}))));
    let (_, said) = traced(&server, "r9", fallback("standard"), 200).await;
    let change = json!({"before": {"model_label": "economy"}, "after": {"model_label": "standard"}});
    says(&said, event("r9", "fallback_set", true, with(day.clone(), change)));
    let (_, said) = traced(&server, "r10", server.delete(&format!("{chat}/fallback")).admin(), 204).await;
    says(&said, event("r10", "fallback_cleared", true, with(day, json!({"before": state("standard")}))));

    let profile = json!({"profile_label": "own", "inference_profile_arn": PROFILE_ARN, "description": "mine"});
    let said_of_it = json!({"arn": PROFILE_ARN, "description": "mine"});
    let registration = server.post(&format!("{chat}/inference-profiles")).admin().json(&profile);
    let (_, said) = traced(&server, "r11", registration, 201).await;
    says(&said, event("r11", "profile_registered", true, json!({"subject": "own", "after": said_of_it})));
    let (_, said) = traced(&server, "r12", server.delete(&format!("{chat}/inference-profiles/own")).admin(), 204).await;
    says(&said, event("r12", "profile_deleted", true, json!({"subject": "own", "before": said_of_it})));

    let (_, said) = traced(&server, "r13", server.delete(&chat).admin(), 204).await;
    let before = json!({"app_name": "Chat", "quotas": {"premium": 7}});
    says(&said, event("r13", "app_deleted", true, json!({"before": before})));
    let (_, said) = traced(&server, "r14", server.delete(OTHER).admin(), 204).await;
    let mut before = org_config();
    before["quotas"]["premium"] = json!(1);
    says(&said, event("r14", "org_deleted", false, json!({"before": before})));
    assert_eq!(trail(&server).await.len(), 14);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_is_that_of_the_client() {
    let server = TestServer::with(|setup| setup.config.server.trusted_proxies = vec!["127.0.0.1".to_owned()]).await;
    let call = server.put(OTHER).admin().header("x-forwarded-for", "203.0.113.9").json(&org_body());
    let (_, said) = traced(&server, "proxied", call, 201).await;
    assert_eq!(said["address"], "203.0.113.9");
}

#[tokio::test]
async fn repricing_leaves_an_event_with_its_parameters_and_a_dry_run_none() {
    let server = TestServer::with(|setup| {
        setup.label("house", MODEL);
    })
    .await;
    let houses = json!({"model_ordering": ["house", "premium"], "quotas": {"house": 10, "premium": 10}});
    let chat = server.chat(houses).await;
    for n in 0..3 {
        chat.post("/usage", &usage(&request_id(n), "house")).await.ok(202);
    }
    super::reprice::publish(&server, 1_000, 2_000);
    let before = trail(&server).await;
    let reprice = |dry_run: bool| {
        let body = json!({"org_id": ORG, "from": "2026-01-22", "to": "2026-01-23", "dry_run": dry_run});
        server.post("/api/v1/reprice").admin().json(&body)
    };
    reprice(true).await.ok(200);
    assert_eq!(trail(&server).await, before);
    let (reply, said) = traced(&server, "apply", reprice(false), 200).await;
    assert_eq!(reply["changed"], 3);
    let after = json!({"from": "2026-01-22", "to": "2026-01-23", "records": 3});
    let expected = json!({
        "actor": administrator(&server), "action": "usage_repriced", "outcome": "succeeded", "org_id": ORG,
        "after": after, "request_id": "apply",
    });
    says(&said, expected);
    // Nothing is left to be corrected.
    reprice(false).await.ok(200);
    assert_eq!(trail(&server).await.len(), before.len() + 1);
}

#[tokio::test]
async fn what_changes_nothing_or_is_refused_beforehand_leaves_no_event() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let profile = json!({"profile_label": "own", "inference_profile_arn": PROFILE_ARN});
    chat.post("/inference-profiles", &profile).await.ok(201);
    let label = json!({"model_label": "standard"});
    chat.admin("PUT", "/fallback").json(&label).await.ok(200);
    let before = trail(&server).await;

    // The same again.
    server.put(&org.path).admin().json(&org_body()).await.ok(200);
    server.put(&chat.path).admin().json(&app_body()).await.ok(200);
    chat.post("/inference-profiles", &profile).await.ok(200);
    chat.admin("PUT", "/fallback").json(&label).await.ok(200);
    let document = json!({"orgs": [with(org_body(), json!({"org_id": ORG, "secret_delivery": null}))]});
    server.post("/api/v1/config/import").admin().json(&document).await.ok(200);
    // Only asked what would happen.
    let other = json!({"orgs": [with(org_body(), json!({"org_id": OTHER_ORG, "secret_delivery": null}))]});
    server.post("/api/v1/config/import?dry_run=true").admin().json(&other).await.ok(200);
    // Exists, is not there, or is impossible.
    server.put(&org.path).admin().header("if-none-match", "*").json(&org_body()).await.error(409, "ALREADY_EXISTS");
    server
        .put(&org.path)
        .admin()
        .json(&with(org_body(), json!({"timezone": "Mars"})))
        .await
        .error(400, "INVALID_CONFIG");
    for path in [OTHER.to_owned(), format!("{}/apps/mail", org.path)] {
        server.delete(&path).admin().await.error(404, "NOT_FOUND");
        server.post(&format!("{path}/credentials/rotate")).admin().await.error(404, "NOT_FOUND");
        server.post(&format!("{path}/credentials/revoke-tokens")).admin().await.error(404, "NOT_FOUND");
    }
    org.admin("POST", "/credentials/rotate")
        .json(&json!({"grace_period_hours": 999}))
        .await
        .error(400, "INVALID_CONFIG");
    chat.call("DELETE", "/inference-profiles/none").await.error(404, "NOT_FOUND");
    chat.admin("PUT", "/fallback").json(&json!({"model_label": "none"})).await.error(400, "INVALID_MODEL_LABEL");
    server.post("/auth/revoke").bearer(&chat.token).json(&json!({"token": "garbage"})).await.ok(204);
    server.post("/auth/revoke").bearer(&chat.token).json(&json!({"token": org.token})).await.error(403, "FORBIDDEN");
    // Not an administrator's to do.
    chat.call("DELETE", "").await.error(403, "FORBIDDEN");
    assert_eq!(trail(&server).await, before);

    chat.admin("DELETE", "/fallback").await.ok(204);
    chat.admin("DELETE", "/fallback").await.ok(204);
    assert_eq!(trail(&server).await.len(), before.len() + 1);
}

#[tokio::test]
async fn an_import_leaves_an_event_for_each_resource_it_changed() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    org.app("mail", json!({})).await;
    let apps = json!([{"app_id": "chat", "app_name": "Chat"}, {"app_id": "mail", "app_name": "Support chat"}]);
    let changes = json!({"org_id": ORG, "org_name": "Acme Inc", "secret_delivery": null, "apps": apps});
    let document = json!({"orgs": [with(org_body(), changes)]});
    server.post("/api/v1/config/import").admin().header("x-request-id", "import").json(&document).await.ok(200);
    let events = of_request(&server, "import").await;
    let said: Vec<_> = events.iter().map(|event| (event["action"].as_str().unwrap(), &event["app_id"])).collect();
    assert_eq!(said.len(), 2);
    assert!(
        said.contains(&("org_updated", &Value::Null)) && said.contains(&("app_created", &json!("chat"))),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_a_client_does_is_attributed_to_the_client() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let profile = json!({"profile_label": "own", "inference_profile_arn": PROFILE_ARN});
    let (_, said) = traced(&server, "chat", chat.post("/inference-profiles", &profile), 201).await;
    assert_eq!(said["actor"], json!({"type": "client", "id": chat.client_id}));
    let call = server.delete(&format!("{}/inference-profiles/own", chat.path)).bearer(&org.token);
    let (_, said) = traced(&server, "org", call, 204).await;
    assert_eq!(said["actor"], json!({"type": "client", "id": org.client_id}));

    for (name, token, kind) in [("access", &chat.token, "token "), ("refresh", &chat.refresh_token, "session ")] {
        let mut fresh =
            Tenant { token: String::new(), refresh_token: String::new(), path: chat.path.clone(), ..of(&chat) };
        fresh.log_in().await;
        let call = server.post("/auth/revoke").bearer(&fresh.token).json(&json!({"token": token}));
        let (_, said) = traced(&server, name, call, 204).await;
        assert_eq!((&said["action"], &said["outcome"]), (&json!("token_revoked"), &json!("succeeded")));
        assert_eq!(said["actor"], json!({"type": "client", "id": chat.client_id}));
        assert!(said["subject"].as_str().unwrap().starts_with(kind), "{said}");
    }
}

/// The same tenant, to log in again.
fn of<'a>(tenant: &Tenant<'a>) -> Tenant<'a> {
    Tenant {
        server: tenant.server,
        path: tenant.path.clone(),
        client_id: tenant.client_id.clone(),
        secret: tenant.secret.clone(),
        token: tenant.token.clone(),
        refresh_token: tenant.refresh_token.clone(),
    }
}

#[tokio::test]
async fn a_retrieval_token_that_is_used_twice_or_unknown_leaves_a_refusal() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let rotated = org.admin("POST", "/credentials/rotate").await.ok(200);
    let url = rotated["secret_retrieval"]["url"].as_str().unwrap();
    server.get(url).admin().await.ok(200);
    let unknown = format!("{}/credentials/secret?token=unknown", org.path);
    for (name, url, status) in [("again", url, 404), ("unknown", unknown.as_str(), 401)] {
        let (_, said) = traced(&server, name, server.get(url).admin(), status).await;
        assert_eq!((&said["action"], &said["outcome"]), (&json!("secret_retrieved"), &json!("refused")));
        assert_eq!(said["actor"], administrator(&server));
    }
}

#[tokio::test]
async fn no_secret_key_or_token_is_anywhere_in_the_trail() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let mut secrets =
        vec![ADMIN_KEY.to_owned(), JWT_SECRET.to_owned(), "a-wrong-key".to_owned(), "a wrong secret".to_owned()];
    for tenant in [&org, &chat] {
        secrets.extend([tenant.secret.clone(), tenant.token.clone(), tenant.refresh_token.clone()]);
        let inline =
            tenant.admin("POST", "/credentials/rotate").json(&json!({"secret_delivery": "inline"})).await.ok(200);
        secrets.push(inline.str("client_secret").to_owned());
        let rotated = tenant.admin("POST", "/credentials/rotate").await.ok(200);
        let retrieval = &rotated["secret_retrieval"];
        secrets.push(retrieval["token"].as_str().unwrap().to_owned());
        let url = retrieval["url"].as_str().unwrap();
        secrets.push(server.get(url).admin().await.ok(200).str("client_secret").to_owned());
        server.get(url).admin().await.error(404, "NOT_FOUND");
        server.post("/auth/revoke").bearer(&tenant.token).json(&json!({"token": tenant.refresh_token})).await.ok(204);
    }
    let before = server.store.appended();
    server.get("/api/v1/orgs").header("x-api-key", "a-wrong-key").await.error(401, "UNAUTHORIZED");
    server.token(&chat.client_id, "a wrong secret").await.error(401, "UNAUTHORIZED");
    server.token("a wrong secret", "a wrong secret").await.error(401, "UNAUTHORIZED");
    server.store.have_appended(before + 3).await;
    server.delete(&org.path).admin().await.ok(204);
    let events = trail(&server).await;
    assert!(events.len() > 12, "{}", events.len());
    let text = page(&server, "?limit=200").await.text();
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the trail");
    }
}
