//! Reading the audit trail.

use serde_json::{Value, json};

use super::audit::{page, trail};
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, OTHER_ORG, app_body, org_body, with};

async fn rename(server: &TestServer, org_id: &str, name: &str) {
    let body = with(org_body(), json!({"org_name": name}));
    server.put(&format!("/api/v1/orgs/{org_id}")).admin().json(&body).await;
}

#[tokio::test]
async fn the_latest_event_comes_first_and_pages_are_stable_while_new_ones_arrive() {
    let server = TestServer::start().await;
    // Several in the same millisecond, then later ones.
    for n in 0..5 {
        rename(&server, ORG, &format!("name {n}")).await;
    }
    server.at("2026-01-23T15:31:00Z");
    for n in 5..9 {
        rename(&server, ORG, &format!("name {n}")).await;
    }
    let all = trail(&server).await;
    assert_eq!(all.len(), 9);
    let at: Vec<_> = all.iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(at.is_sorted_by(|a, b| a >= b), "{at:?}");

    let mut seen: Vec<Value> = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let reply = page(&server, &query).await.ok(200);
        seen.extend(reply["items"].as_array().unwrap().iter().cloned());
        server.at("2026-01-23T15:32:00Z");
        rename(&server, ORG, &format!("name of page {}", seen.len())).await;
        match reply["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn an_organization_has_a_trail_of_its_own_that_outlives_it() {
    let server = TestServer::start().await;
    for org_id in [ORG, OTHER_ORG] {
        rename(&server, org_id, "Acme").await;
        server.put(&format!("/api/v1/orgs/{org_id}/apps/chat")).admin().json(&app_body()).await.ok(201);
    }
    server.delete(&format!("/api/v1/orgs/{ORG}")).admin().await.ok(204);
    let reply = page(&server, &format!("?org_id={ORG}")).await.ok(200);
    let events = reply["items"].as_array().unwrap();
    let mut actions: Vec<_> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["app_created", "org_created", "org_deleted"]);
    assert!(events.iter().all(|event| event["org_id"] == ORG));
    assert_eq!(trail(&server).await.len(), 5);
    let nobody = page(&server, "?org_id=770e8400-e29b-41d4-a716-446655440000").await.ok(200);
    assert_eq!(nobody.json, json!({"items": [], "next_cursor": null}));
    // Pages of one organization hold together too.
    let first = page(&server, &format!("?org_id={ORG}&limit=2")).await.ok(200);
    let rest = page(&server, &format!("?org_id={ORG}&limit=2&cursor={}", first.str("next_cursor"))).await.ok(200);
    let joined = [first["items"].as_array().unwrap().as_slice(), rest["items"].as_array().unwrap()].concat();
    assert_eq!((&joined, &rest["next_cursor"]), (events, &Value::Null));
}

#[tokio::test]
async fn a_query_that_is_wrong_is_refused_by_name() {
    let server = TestServer::start().await;
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?limit=x", "limit"),
        ("?cursor=garbage", "cursor"),
        // The cursor of another list.
        ("?cursor=MTo1NTBlODQwMC1lMjliLTQxZDQtYTcxNi00NDY2NTU0NDAwMDA", "cursor"),
        ("?cursor=", "cursor"),
        ("?org_id=acme", "org_id"),
        ("?org_id=", "org_id"),
        ("?orgid=1", "orgid"),
        ("?action=org_created", "action"),
    ] {
        page(&server, query).await.refuses("INVALID_REQUEST", field);
    }
    page(&server, "?limit=200").await.ok(200);
}
