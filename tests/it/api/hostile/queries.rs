//! Query strings that no operation asked for.

use serde_json::json;

use super::routes::{in_time, refused, start};
use crate::support::client::Call;
use crate::support::tenants::{ORG, Tenant};

/// Every operation below `/api/v1`: method, path, and the query parameters it takes.
async fn operations(chat: &Tenant<'_>) -> Vec<(String, String, Vec<String>)> {
    let document = chat.server.get("/openapi.json").await.ok(200);
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !path.starts_with("/api/v1/") || !["get", "put", "post", "delete"].contains(&method.as_str()) {
                continue;
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            let path = path
                .replace("{org_id}", ORG)
                .replace("{app_id}", "chat")
                .replace("{date}", "2026-01-23")
                .replace("{profile_label}", "none");
            operations.push((method.to_uppercase(), path, query));
        }
    }
    operations
}

/// With the credentials the operation is for.
fn called(chat: &Tenant<'_>, method: &str, path: &str, query: &str) -> Call {
    let call = chat.server.request(method, &format!("{path}?{query}"));
    let writes_usage = ["/usage", "/costs", "/batch"].iter().any(|end| path.ends_with(end));
    let call = if writes_usage { call.bearer(&chat.token) } else { call.admin() };
    if matches!(method, "PUT" | "POST") { call.json(&json!({})) } else { call }
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name_on_every_operation() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let operations = operations(&chat).await;
    assert!(operations.len() > 35, "{}", operations.len());
    for (method, path, _) in &operations {
        for query in ["surprise=1", "surprise", "surprise=%ff"] {
            let what = format!("{method} {path}?{query}");
            let named = refused(in_time(called(&chat, method, path, query), &what).await, &what);
            // Where a required one is missing, that may be what is said.
            assert!(named == "surprise" || path.ends_with("/secret"), "{what}: names {named}");
        }
        // And to ask for the head of an answer is the same operation.
        if method == "GET" {
            let head = called(&chat, "HEAD", path, "surprise=1").await;
            assert_eq!((head.status, head.body.len()), (400, 0), "HEAD {path}");
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_parameter_that_stands_twice_is_refused_by_name() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let mut twice = 0;
    for (method, path, parameters) in operations(&chat).await {
        for name in parameters {
            for query in [format!("{name}=true&{name}=true"), format!("{name}=1&{name}=2"), format!("{name}&{name}")] {
                let what = format!("{method} {path}?{query}");
                let named = refused(in_time(called(&chat, &method, &path, &query), &what).await, &what);
                assert_eq!(named, name, "{what}");
                twice += 1;
            }
        }
    }
    assert!(twice > 60, "{twice}");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_parameter_of_no_possible_value_is_refused_by_name() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let before = server.snapshot().await;
    let long = "9".repeat(4_000);
    let range = "from=2026-01-01&to=2026-01-02&";
    for (method, path, parameters) in operations(&chat).await {
        for name in &parameters {
            // A token that is unknown is refused as credentials are.
            if name == "token" {
                continue;
            }
            for value in ["", "%00", "%ff", "-1", "1e400", "%27%20OR%201=1", "{}", "[]", "null", &long] {
                let rest =
                    if parameters.contains(&"from".to_owned()) && name != "from" && name != "to" { range } else { "" };
                let query = format!("{rest}{name}={value}");
                let what = format!("{method} {path}: {name}={}", value.get(..20).unwrap_or(value));
                let named = refused(in_time(called(&chat, &method, &path, &query), &what).await, &what);
                assert!(
                    named == *name || (rest.is_empty() && ["from", "to"].contains(&named.as_str())),
                    "{what}: {named}"
                );
            }
        }
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_query_with_thousands_of_parameters_is_refused() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let many: String = (0..2_000).map(|n| format!("a{n}=1&")).collect();
    for (method, path, _) in operations(&chat).await {
        let what = format!("{method} {path}");
        let reply = in_time(called(&chat, &method, &path, &many), &what).await;
        refused(reply, &what);
    }
}
