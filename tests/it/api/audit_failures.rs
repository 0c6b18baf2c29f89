//! What the audit trail says where something fails or races.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use super::audit::{MODEL, OTHER, of_request, traced, trail};
use crate::support::faulty::Fault;
use crate::support::server::{PROFILE_ARN, TestServer, request_id};
use crate::support::tenants::{OTHER_ORG, app_body, org_body, usage, with};

#[tokio::test]
async fn a_change_of_unknown_outcome_stays_pending() {
    let server = TestServer::with(|setup| {
        setup.label("house", MODEL);
    })
    .await;
    let chat = server.chat(json!({"model_ordering": ["house"], "quotas": {"house": 10}})).await;
    chat.post("/usage", &usage(&request_id(0), "house")).await.ok(202);
    super::reprice::publish(&server, 1_000, 2_000);
    server.store.fail_next_record(Fault::AnswerLost);
    let call = server.post("/api/v1/reprice").admin().json(&json!({"dry_run": false}));
    let (_, said) = traced(&server, "lost", call, 503).await;
    assert_eq!((&said["action"], &said["outcome"]), (&json!("usage_repriced"), &json!("pending")));
}

#[tokio::test]
async fn without_a_trail_nothing_is_changed() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let chat = org.app("chat", json!({})).await;
    let url = {
        let rotated = org.admin("POST", "/credentials/rotate").await.ok(200);
        rotated["secret_retrieval"]["url"].as_str().unwrap().to_owned()
    };
    let profile = json!({"profile_label": "own", "inference_profile_arn": PROFILE_ARN});
    chat.post("/inference-profiles", &profile).await.ok(201);
    chat.admin("PUT", "/fallback").json(&json!({"model_label": "standard"})).await.ok(200);
    let before = server.snapshot().await;
    let events = trail(&server).await.len();

    for fault in [Fault::Unavailable, Fault::Backend] {
        server.store.fail_announcements(fault);
        let document = json!({"orgs": [with(org_body(), json!({"org_id": OTHER_ORG, "secret_delivery": null}))]});
        let other_label = with(profile.clone(), json!({"profile_label": "another"}));
        let calls = [
            server.put(OTHER).admin().json(&org_body()),
            server.put(&org.path).admin().json(&with(org_body(), json!({"org_name": "Other"}))),
            server.put(&format!("{}/apps/mail", org.path)).admin().json(&app_body()),
            server.put(&chat.path).admin().json(&with(app_body(), json!({"app_name": "Other"}))),
            server.post("/api/v1/config/import").admin().json(&document),
            org.admin("POST", "/credentials/rotate"),
            server.get(&url).admin(),
            org.admin("POST", "/credentials/revoke-tokens"),
            chat.admin("PUT", "/fallback").json(&json!({"model_label": "economy"})),
            chat.admin("DELETE", "/fallback"),
            chat.post("/inference-profiles", &other_label),
            chat.call("DELETE", "/inference-profiles/own"),
            server.post("/auth/revoke").bearer(&chat.token).json(&json!({"token": chat.refresh_token})),
            server.delete(&chat.path).admin(),
            server.delete(&org.path).admin(),
        ];
        for (n, call) in calls.into_iter().enumerate() {
            let reply = call.await;
            assert_eq!(
                (reply.status, &reply["error"]),
                (503, &json!("SERVICE_UNAVAILABLE")),
                "call {n}: {}",
                reply.text()
            );
            reply.error(503, "SERVICE_UNAVAILABLE");
        }
        assert_eq!(server.snapshot().await, before);
    }
    server.store.fail_announcements(None);
    assert_eq!(trail(&server).await.len(), events);
    // Neither were the session ended, nor the one-time token used up.
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": chat.refresh_token});
    server.post("/auth/token").json(&refresh).await.ok(200);
    chat.selection().await.ok(200);
    server.get(&url).admin().await.ok(200);
}

#[tokio::test]
async fn a_change_whose_event_cannot_be_settled_stands_and_its_event_stays_pending() {
    let server = TestServer::start().await;
    server.store.fail_settlements(Fault::Unavailable);
    let (_, said) = traced(&server, "create", server.put(OTHER).admin().json(&org_body()), 201).await;
    assert_eq!((&said["action"], &said["outcome"]), (&json!("org_created"), &json!("pending")));
    server.get(OTHER).admin().await.ok(200);
}

#[tokio::test]
async fn of_changes_that_race_one_succeeds_in_the_trail_for_each_that_was_answered_so() {
    let server = TestServer::start().await;
    let org = server.org(json!({})).await;
    let replies = join_all((0..12).map(async |n| {
        let name = format!("race-{n}");
        let call = org.admin("POST", "/credentials/rotate").header("x-request-id", &name);
        (name, call.await.status)
    }))
    .await;
    let mut outcomes = BTreeSet::new();
    for (name, status) in replies {
        let events = of_request(&server, &name).await;
        let expected = match status {
            200 => "succeeded",
            409 => "refused",
            other => panic!("{other}"),
        };
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["outcome"], expected);
        outcomes.insert(expected);
    }
    assert!(outcomes.contains("succeeded"));
}
