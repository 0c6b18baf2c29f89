//! Every operation × every caller × what it names being there or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::callers::{Caller, Standing, Target, everybody, refusal};
use super::table::{For, operations};
use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::ORG;

/// What a test of authorization needs: everybody may call as often as it likes.
async fn start() -> TestServer {
    TestServer::with(|setup| setup.config.rate_limits.enabled = false).await
}

async fn call(server: &TestServer, caller: &Caller, method: &str, template: &str, target: Target) -> Reply {
    let call = server.request(method, &target.path(template));
    let call = if matches!(method, "GET" | "HEAD") { call } else { call.json(&json!({})) };
    caller.present(call).await
}

/// The whole envelope, without what differs from answer to answer.
fn stable(reply: &Reply) -> Value {
    let mut json = reply.json.clone();
    for member in ["request_id", "timestamp"] {
        json.as_object_mut().unwrap().remove(member);
    }
    json
}

/// Asserts the refusal, whole.
fn refused(reply: Reply, status: u16, what: &str) -> Value {
    assert_eq!(reply.status, status, "{what}: {}", reply.text());
    // A 401 without WWW-Authenticate fails in here.
    stable(&reply.error(status, if status == 401 { "UNAUTHORIZED" } else { "FORBIDDEN" }))
}

/// What a template names may be absent.
fn targets(template: &str) -> &'static [Target] {
    match (template.contains("{org_id}"), template.contains("{app_id}")) {
        (_, true) => &[Target::Existing, Target::AbsentApp, Target::AbsentOrg],
        (true, false) => &[Target::Existing, Target::AbsentOrg],
        (false, false) => &[Target::Existing],
    }
}

#[tokio::test]
async fn whoever_an_operation_is_not_for_is_refused_alike_whether_or_not_its_target_exists_and_changes_nothing() {
    let server = start().await;
    let callers = everybody(&server).await;
    let before = server.snapshot().await;
    let mut refusals = 0;
    // By caller: a refusal says the same wherever it comes from.
    let mut said: BTreeMap<(&str, u16), BTreeSet<String>> = BTreeMap::new();
    for (method, template, audience) in operations(&server).await {
        for caller in &callers {
            // Whom nothing is good for is refused before the path is looked at: one absent target shows that.
            for target in targets(template).iter().filter(|target| caller.is_client() || **target != Target::AbsentApp)
            {
                let Some(status) = refusal(audience, caller.standing, *target) else { continue };
                let reply = call(&server, caller, method, template, *target).await;
                let what = format!("{method} {template} ({target:?}) as {}", caller.name);
                let body = refused(reply, status, &what);
                if audience == For::MetricsKey || audience == For::Clients {
                    continue;
                }
                said.entry((caller.name, status)).or_default().insert(body["message"].to_string());
                refusals += 1;
            }
        }
    }
    assert!(refusals > 1_500, "{refusals}");
    for ((caller, status), messages) in said {
        // A client hears one of two: that it needs a key, or that its token is another's.
        let most = if status == 401 { 1 } else { 2 };
        assert!(messages.len() <= most, "{caller}: {messages:?}");
    }
    assert_eq!(server.snapshot().await, before, "a refused call changed something");
    for caller in callers.iter().filter(|caller| caller.is_client()) {
        // Nobody was logged out by it, either.
        call(&server, caller, "GET", "/api/v1/models", Target::Existing).await.ok(200);
    }
}

#[tokio::test]
async fn whoever_an_operation_is_for_is_let_in() {
    let server = start().await;
    let callers = everybody(&server).await;
    let mut answered = 0;
    for (method, template, audience) in operations(&server).await {
        for caller in &callers {
            // An administrator is let in everywhere, so it must not break what later operations need.
            let breaks = caller.standing == Standing::Administrator && audience == For::Administrators;
            let target = if breaks { Target::AbsentOrg } else { Target::Existing };
            if refusal(audience, caller.standing, target).is_some() {
                continue;
            }
            let reply = call(&server, caller, method, template, target).await;
            let what = format!("{method} {template} as {}: {} {}", caller.name, reply.status, reply.text());
            assert!(![401, 403].contains(&reply.status) && reply.status < 500, "{what}");
            answered += 1;
        }
    }
    assert!(answered > 300, "{answered}");
}

#[tokio::test]
async fn asking_for_the_head_of_an_answer_needs_the_same_credentials() {
    let server = start().await;
    let callers = everybody(&server).await;
    for (method, template, audience) in operations(&server).await {
        if method != "GET" {
            continue;
        }
        for caller in &callers {
            let Some(status) = refusal(audience, caller.standing, Target::Existing) else { continue };
            let reply = call(&server, caller, "HEAD", template, Target::Existing).await;
            assert_eq!((reply.status, reply.body.len()), (status, 0), "HEAD {template} as {}", caller.name);
        }
    }
}

#[tokio::test]
async fn a_token_that_lacks_a_permission_is_refused_what_needs_it_and_nothing_else() {
    let server = start().await;
    let org = server.org(json!({})).await;
    org.app("chat", json!({})).await;
    let reader = super::order::with_scope(&org.token, &["read:aggregates"]);
    for (suffix, status) in [("/aggregates/today", 200), ("/apps/chat/aggregates/today", 200)] {
        server.get(&format!("/api/v1/orgs/{ORG}{suffix}")).bearer(&reader).await.ok(status);
    }
    for (method, suffix) in [
        ("GET", "/apps/chat/model-selection"),
        ("GET", "/apps/chat/inference-profiles"),
        ("POST", "/apps/chat/inference-profiles"),
        ("DELETE", "/apps/chat/inference-profiles/none"),
        ("POST", "/apps/chat/usage"),
        ("POST", "/apps/chat/usage/batch"),
        ("POST", "/apps/chat/costs"),
        ("POST", "/apps/chat/costs/batch"),
    ] {
        let call = server.request(method, &format!("/api/v1/orgs/{ORG}{suffix}")).bearer(&reader);
        call.json(&json!({})).await.error(403, "FORBIDDEN");
    }
    server.get("/api/v1/models").bearer(&reader).await.error(403, "FORBIDDEN");
    let nothing = super::order::with_scope(&org.token, &[]);
    server.get(&format!("/api/v1/orgs/{ORG}/aggregates/today")).bearer(&nothing).await.error(403, "FORBIDDEN");
}
