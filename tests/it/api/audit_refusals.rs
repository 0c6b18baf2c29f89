//! Callers who proved nothing, in the audit trail: noted alike, at a bounded rate, without anybody waiting for it.

use bedrock_cost_keeper::domain::audit::AuditAction;
use bedrock_cost_keeper::service::access::Origin;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};

use super::audit::trail;
use crate::support::client::{Call, Reply};
use crate::support::faulty::Fault;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG};

/// So many are stored at once, and so many in each minute.
const STORED: usize = 30;

fn login(server: &TestServer, client_id: &str, secret: &str) -> Call {
    let body = json!({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret});
    server.post("/auth/token").json(&body)
}

/// Sends a call as `name` that is refused; answers the reply and the one event it leaves.
async fn refused(server: &TestServer, name: &str, call: Call) -> (Reply, Value) {
    let before = server.store.appended();
    let reply = call.header("x-request-id", name).await.error(401, "UNAUTHORIZED");
    server.store.have_appended(before + 1).await;
    let mut events = trail(server).await;
    events.retain(|event| event["request_id"] == name);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["outcome"], &events[0]["actor"]), (&json!("refused"), &json!({"type": "anonymous"})));
    (reply, events.remove(0))
}

#[tokio::test]
async fn wrong_client_credentials_leave_the_client_id_that_was_claimed_if_it_is_one() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let unknown = format!("org-{OTHER_ORG}-app-mail");
    for (name, client_id, org_id, app_id) in
        [("wrong", chat.client_id.as_str(), ORG, "chat"), ("unknown", &unknown, OTHER_ORG, "mail")]
    {
        let (_, event) = refused(&server, name, login(&server, client_id, "wrong")).await;
        assert_eq!((&event["action"], &event["subject"]), (&json!("login_refused"), &json!(client_id)));
        assert_eq!((&event["org_id"], &event["app_id"]), (&json!(org_id), &json!(app_id)));
    }
    let (_, event) = refused(&server, "nonsense", login(&server, "some nonsense", "wrong")).await;
    assert_eq!(
        (&event["action"], &event["subject"], &event["org_id"]),
        (&json!("login_refused"), &Value::Null, &Value::Null)
    );
    // Credentials that go with a refresh token must be right too.
    let refresh = json!({
        "grant_type": "refresh_token", "refresh_token": chat.refresh_token, "client_id": chat.client_id,
        "client_secret": "wrong",
    });
    let (_, event) = refused(&server, "refresh", server.post("/auth/refresh").json(&refresh)).await;
    assert_eq!(event["subject"], json!(chat.client_id));
}

#[tokio::test]
async fn a_wrong_provisioning_key_leaves_an_event_also_at_the_metrics() {
    let server = TestServer::start().await;
    for (name, path) in [("api", "/api/v1/orgs"), ("metrics", "/metrics")] {
        let (_, event) = refused(&server, name, server.get(path).header("x-api-key", "wrong")).await;
        assert_eq!((&event["action"], &event["subject"]), (&json!("key_refused"), &Value::Null));
    }
    // Nothing was presented.
    server.get("/api/v1/orgs").await.error(401, "UNAUTHORIZED");
    assert_eq!(trail(&server).await.len(), 2);
}

/// What of an answer a caller can tell answers apart by.
fn told(mut reply: Reply) -> (u16, Value, Vec<String>) {
    reply.json["request_id"] = Value::Null;
    let mut headers: Vec<_> =
        reply.headers.keys().map(|name| name.to_string()).filter(|name| name != "x-request-id").collect();
    headers.sort();
    (reply.status, reply.json, headers)
}

#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_are_told_the_same_and_cost_the_same() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let unknown = format!("org-{OTHER_ORG}-app-chat");
    for fault in [None, Some(Fault::Unavailable), Some(Fault::Backend)] {
        server.store.fail_announcements(fault);
        let mut seen = Vec::new();
        for client_id in [chat.client_id.as_str(), &unknown] {
            server.store.take_credential_calls();
            let before = server.store.appended();
            let reply = login(&server, client_id, "wrong").await.error(401, "UNAUTHORIZED");
            server.store.have_appended(before + 1).await;
            seen.push((told(reply), server.store.take_credential_calls(), server.store.appended() - before));
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!((&seen[0].1, seen[0].2), (&vec!["credential"], 1));
    }
}

#[tokio::test]
async fn a_flood_is_stored_at_a_bounded_rate_and_counted_beyond_it() {
    let server = TestServer::start().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let origin = Origin { request_id: "flood".to_owned(), address: None };
    let services = &server.app.services;
    let flood = |times: usize| {
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..times {
                services.audit_refusal(AuditAction::LoginThrottled, None, &origin);
            }
        });
    };
    flood(STORED + 70);
    server.store.have_appended(STORED).await;
    assert!(metrics.render().contains("audit_events_suppressed_total{reason=\"rate\"} 70"), "{}", metrics.render());
    assert_eq!(trail(&server).await.len(), STORED);
    // A minute later as many again: no minute sees more than twice as many.
    server.at("2026-01-23T15:31:45Z");
    flood(1_000);
    server.store.have_appended(2 * STORED).await;
    assert_eq!(trail(&server).await.len(), 2 * STORED);
    // What an administrator does is stored whatever others do.
    server.put(&format!("/api/v1/orgs/{ORG}")).admin().json(&crate::support::tenants::org_body()).await.ok(201);
    assert_eq!(trail(&server).await.len(), 2 * STORED + 1);
}

#[tokio::test]
async fn what_waits_is_written_before_the_service_stops() {
    let server = TestServer::start().await;
    for n in 0..10 {
        login(&server, &format!("org-{ORG}-app-{n}"), "wrong").await.error(401, "UNAUTHORIZED");
    }
    let data = server.stop().await;
    let server = TestServer::on(data, |setup| setup.seed = 2).await;
    assert_eq!(trail(&server).await.len(), 10);
}
