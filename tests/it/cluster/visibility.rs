//! What one instance changes, the others see in time.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::instances::{Instances, PATIENCE};
use crate::process::ORG;
use crate::support::stores::FreshStore;

/// What is promised, and a second for asking.
const FIVE_SECONDS: Duration = Duration::from_secs(6);

pub(super) async fn instances_started_at_once_on_an_empty_store_bring_it_up_to_date(store: FreshStore) {
    let instances = Instances::start(store, 4).await;
    for n in 0..4 {
        let ready = instances.http.get(format!("{}/readyz", instances.url(n))).send().await.unwrap();
        assert_eq!(ready.status(), 200);
    }
    instances.provision(&json!({"premium": 1_000_000})).await;
    for n in 0..4 {
        let answer = instances.admin(n, Method::GET, &format!("/orgs/{ORG}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

/// How long an instance takes until it answers as expected.
async fn time_until(mut as_expected: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !as_expected().await {
        assert!(started.elapsed() < PATIENCE, "it never does");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

pub(super) async fn a_revoked_token_is_refused_here_at_once_and_elsewhere_within_five_seconds(store: FreshStore) {
    let instances = Instances::start(store, 2).await;
    let token = instances.provision(&json!({"premium": 1_000_000})).await;
    for n in 0..2 {
        // Both know it now.
        assert_eq!(instances.get(n, &token, "/model-selection").await.0, 200);
    }
    let revoke = instances.http.post(format!("{}/auth/revoke", instances.url(0)));
    let answer = revoke.bearer_auth(&token).json(&json!({"token": token})).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    assert_eq!(instances.get(0, &token, "/model-selection").await.0, StatusCode::UNAUTHORIZED, "here at once");
    let elsewhere =
        time_until(async || instances.get(1, &token, "/model-selection").await.0 == StatusCode::UNAUTHORIZED).await;
    assert!(elsewhere < FIVE_SECONDS, "{elsewhere:?}");
}

pub(super) async fn a_changed_configuration_is_seen_here_at_once_and_elsewhere_within_five_seconds(store: FreshStore) {
    let instances = Instances::start(store, 2).await;
    let token = instances.provision(&json!({"premium": 1_000_000, "economy": 1_000_000})).await;
    let recommended = async |n: usize| {
        instances.get(n, &token, "/model-selection").await.1["recommended_model"]["label"].as_str().unwrap().to_owned()
    };
    for n in 0..2 {
        assert_eq!(recommended(n).await, "economy", "the first of the ordering");
    }
    let app = json!({"app_name": "Chat", "model_ordering": ["premium", "economy"]});
    let answer = instances.admin(0, Method::PUT, &format!("/orgs/{ORG}/apps/chat")).json(&app).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(recommended(0).await, "premium", "here at once");
    let elsewhere = time_until(async || recommended(1).await == "premium").await;
    assert!(elsewhere < FIVE_SECONDS, "{elsewhere:?}");
}

pub(super) async fn every_instance_falls_back_to_the_same_model_and_stays_there(store: FreshStore) {
    let instances = Instances::start(store, 3).await;
    // In alphabetical order, which is the ordering.
    let token = instances.provision(&json!({"economy": 1_000, "premium": 1_000_000, "standard": 1_000_000})).await;
    let submitter = instances.submitter(&token);
    // Labels of submissions are `premium`; so spend the first label by lowering its quota to nothing left.
    submitter.submit(0, 1).await;
    let quotas = json!({"app_name": "Chat", "model_ordering": ["premium", "standard"],
        "quotas": {"premium": 1, "standard": 1_000_000}});
    let put = instances.admin(0, Method::PUT, &format!("/orgs/{ORG}/apps/chat")).json(&quotas).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let label = async |n: usize, force: &str| {
        let (status, answer) = instances.get(n, &token, &format!("/model-selection{force}")).await;
        assert_eq!(status, 200, "{answer}");
        answer["recommended_model"]["label"].as_str().unwrap().to_owned()
    };
    // Everybody asks at once, while totals and configuration reach the instances one by one.
    let converged = time_until(async || {
        let asked = futures::future::join_all((0..12).map(|n| label(n, ""))).await;
        asked.iter().all(|label| label == "standard")
    })
    .await;
    println!("three instances agreed after {} ms", converged.as_millis());
    // The quota is raised again: the state of the day sticks, everywhere.
    let raised = json!({"app_name": "Chat", "model_ordering": ["premium", "standard"],
        "quotas": {"premium": 1_000_000, "standard": 1_000_000}});
    let put = instances.admin(1, Method::PUT, &format!("/orgs/{ORG}/apps/chat")).json(&raised).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let until = Instant::now() + FIVE_SECONDS;
    while Instant::now() < until {
        let asked = futures::future::join_all((0..6).map(|n| label(n, "?force_check=true"))).await;
        assert!(asked.iter().all(|label| label == "standard"), "{asked:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
