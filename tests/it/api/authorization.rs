//! Who may do what, for every operation of the OpenAPI document: one without an expectation here fails.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::client::Call;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG};

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Everybody,
    /// Holders of a provisioning key.
    Administrators,
    /// Holders of a key that is no access token.
    MetricsKey,
    /// Every client, and administrators.
    Readers,
    /// The organization's client, and administrators.
    OrgReaders,
    /// The application's client, its organization's, and administrators: also whoever may register profiles.
    AppReaders,
    /// The application's client and its organization's: administrators submit nothing.
    AppWriters,
    /// Every client.
    Clients,
}

const ORGS: &str = "/api/v1/orgs/{org_id}";

/// The expectation for an operation, written `METHOD path`.
fn expected(operation: &str) -> Option<For> {
    let (method, path) = operation.split_once(' ').unwrap();
    let below_org = path.strip_prefix(ORGS);
    let below_app = path.strip_prefix(ORGS).and_then(|rest| rest.strip_prefix("/apps/{app_id}"));
    Some(match (method, path) {
        ("GET", "/" | "/health" | "/livez" | "/readyz") | ("POST", "/auth/token" | "/auth/refresh") => For::Everybody,
        ("GET", "/metrics") => For::MetricsKey,
        ("POST", "/auth/revoke") => For::Clients,
        ("GET", "/api/v1/orgs") | ("POST", "/api/v1/config/import" | "/api/v1/reprice") => For::Administrators,
        ("GET", "/api/v1/models") => For::Readers,
        _ => match (method, below_app.or(below_org)?) {
            ("GET" | "PUT" | "DELETE", "" | "/fallback")
            | ("GET", "/config" | "/credentials/secret")
            | ("POST", "/credentials/rotate" | "/credentials/revoke-tokens") => For::Administrators,
            ("GET", "/apps") if below_app.is_none() => For::Administrators,
            ("GET", "/aggregates" | "/aggregates/today" | "/aggregates/{date}") if below_app.is_none() => {
                For::OrgReaders
            }
            ("GET", "/aggregates" | "/aggregates/today" | "/aggregates/{date}" | "/model-selection") => For::AppReaders,
            ("GET" | "POST", "/inference-profiles") | ("GET" | "DELETE", "/inference-profiles/{profile_label}")
                if below_app.is_some() =>
            {
                For::AppReaders
            }
            ("POST", "/usage" | "/usage/batch" | "/costs" | "/costs/batch") if below_app.is_some() => For::AppWriters,
            _ => return None,
        },
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Nobody,
    GarbageToken,
    GarbageKey,
    OtherOrg,
    OtherApp,
    App,
    Org,
    Administrator,
}

const CALLERS: [Caller; 8] = [
    Caller::Nobody,
    Caller::GarbageToken,
    Caller::GarbageKey,
    Caller::OtherOrg,
    Caller::OtherApp,
    Caller::App,
    Caller::Org,
    Caller::Administrator,
];

/// The refusal a caller gets; `None` where it is let in.
fn refusal(audience: For, caller: Caller) -> Option<u16> {
    use Caller::{Administrator, App, GarbageKey, GarbageToken, Nobody, Org, OtherApp, OtherOrg};
    match (audience, caller) {
        // Reading goes from the top: what is let in, then why the rest is not.
        (For::Everybody, _)
        | (For::Readers | For::OrgReaders | For::AppReaders | For::Administrators | For::MetricsKey, Administrator)
        | (For::Readers | For::Clients, OtherOrg | OtherApp | App | Org)
        | (For::OrgReaders, Org)
        | (For::AppReaders | For::AppWriters, App | Org) => None,
        (_, Nobody | GarbageToken | GarbageKey) | (For::MetricsKey, _) => Some(401),
        (_, OtherOrg | OtherApp | App | Org | Administrator) => Some(403),
    }
}

/// `METHOD path` of every operation in the document.
async fn operations(server: &TestServer) -> BTreeSet<String> {
    let document = server.get("/openapi.json").await.ok(200);
    let paths = document["paths"].as_object().unwrap();
    let methods = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.keys()
                .filter(|key| methods.contains(&key.as_str()))
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test]
async fn every_operation_of_the_document_has_an_expectation() {
    let server = TestServer::start().await;
    let operations = operations(&server).await;
    let unexpected: Vec<_> = operations.iter().filter(|operation| expected(operation).is_none()).collect();
    assert!(unexpected.is_empty(), "say who may call them: {unexpected:?}");
    assert!(operations.len() >= 43, "{}", operations.len());
}

#[tokio::test]
async fn each_operation_lets_in_whom_it_is_for_and_nobody_else() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let (app, other_app) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    let other_org = server.org_named(OTHER_ORG, json!({})).await;
    for operation in operations(&server).await {
        let audience = expected(&operation).unwrap();
        for caller in CALLERS {
            let (method, template) = operation.split_once(' ').unwrap();
            // An administrator is let in everywhere, so it must not break what later operations need.
            let absent = caller == Caller::Administrator && audience == For::Administrators;
            let org_id = if absent { "770e8400-e29b-41d4-a716-446655440000" } else { ORG };
            let path = template
                .replace("{org_id}", org_id)
                .replace("{app_id}", "chat")
                .replace("{date}", "2026-01-23")
                .replace("{profile_label}", "none");
            let call = server.request(method, &path);
            let call = if method == "GET" { call } else { call.json(&json!({})) };
            let reply = present(call, caller, [&other_org.token, &other_app.token, &app.token, &org.token]).await;
            let refused = [401, 403].contains(&reply.status);
            // Whoever is let in at /auth presents no credentials that could be right.
            let refused = refused && !(operation.contains("/auth/") && audience == For::Everybody);
            assert_eq!(
                refused.then_some(reply.status),
                refusal(audience, caller),
                "{operation} as {caller:?}: {}",
                reply.text()
            );
            assert!(reply.status < 500, "{operation} as {caller:?}: {}", reply.text());
            match reply.status {
                401 => drop(reply.error(401, "UNAUTHORIZED")),
                403 => drop(reply.error(403, "FORBIDDEN")),
                _ => {}
            }
        }
    }
}

fn present(call: Call, caller: Caller, [other_org, other_app, app, org]: [&String; 4]) -> Call {
    match caller {
        Caller::Nobody => call,
        Caller::GarbageToken => call.bearer("garbage"),
        Caller::GarbageKey => call.header("x-api-key", "garbage"),
        Caller::OtherOrg => call.bearer(other_org),
        Caller::OtherApp => call.bearer(other_app),
        Caller::App => call.bearer(app),
        Caller::Org => call.bearer(org),
        Caller::Administrator => call.admin(),
    }
}

#[tokio::test]
async fn a_foreign_token_is_forbidden_whether_or_not_the_target_exists() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    org.app("mail", json!({})).await;
    let absent_org = "770e8400-e29b-41d4-a716-446655440000";
    let mut messages = BTreeSet::new();
    for path in [format!("{ORG}/apps/mail"), format!("{ORG}/apps/nobody"), format!("{absent_org}/apps/chat")] {
        for suffix in ["model-selection", "aggregates/today"] {
            let reply = server.get(&format!("/api/v1/orgs/{path}/{suffix}")).bearer(&chat.token).await;
            messages.insert(reply.error(403, "FORBIDDEN").str("message").to_owned());
        }
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    // What does not exist below one's own organization is not found.
    org.get("/apps/nobody/model-selection").await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_refusal_of_credentials_comes_before_anything_about_the_request() {
    let server = TestServer::start().await;
    for (method, path) in [
        ("GET", "/api/v1/orgs/no-uuid"),
        ("GET", "/api/v1/orgs?limit=x"),
        ("PUT", "/api/v1/orgs/no-uuid"),
        ("POST", "/api/v1/orgs/no-uuid/apps/-/usage"),
        ("GET", "/api/v1/orgs/no-uuid/apps/-/model-selection?x=1"),
        ("POST", "/api/v1/config/import?x=1"),
    ] {
        server.request(method, path).await.error(401, "UNAUTHORIZED");
    }
}
