//! Credentials across instances: what ends on one, ends on the others in time, and what happens once, happens once.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::instances::{Instances, PATIENCE};
use crate::process::ORG;
use crate::support::stores::FreshStore;

/// What is promised, and a second for asking.
const FIVE_SECONDS: Duration = Duration::from_secs(6);

/// An application with a session, known to every instance.
struct Client {
    app_id: &'static str,
    credentials: Value,
    access: String,
    refresh: String,
}

impl Client {
    async fn register(instances: &Instances, app_id: &'static str) -> Self {
        let app = json!({"app_name": app_id, "secret_delivery": "inline"});
        let path = format!("/orgs/{ORG}/apps/{app_id}");
        let created: Value =
            instances.admin(0, Method::PUT, &path).json(&app).send().await.unwrap().json().await.unwrap();
        let mut client =
            Self { app_id, credentials: created["credentials"].clone(), access: String::new(), refresh: String::new() };
        let tokens = client.tokens(instances, 0).await.expect("a new client logs in");
        tokens["access_token"].as_str().unwrap().clone_into(&mut client.access);
        tokens["refresh_token"].as_str().unwrap().clone_into(&mut client.refresh);
        client
    }

    /// New tokens from an instance, `None` where the secret is not good.
    async fn tokens(&self, instances: &Instances, n: usize) -> Option<Value> {
        let grant = json!({
            "grant_type": "client_credentials",
            "client_id": self.credentials["client_id"],
            "client_secret": self.credentials["client_secret"],
        });
        let url = format!("{}/auth/token", instances.url(n));
        let answer = instances.http.post(url).json(&grant).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => Some(answer.json().await.unwrap()),
            StatusCode::UNAUTHORIZED => None,
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    }

    /// Whether an instance takes the access token.
    async fn is_let_in(&self, instances: &Instances, n: usize) -> bool {
        let url = format!("{}/api/v1/orgs/{ORG}/apps/{}/model-selection", instances.url(n), self.app_id);
        let answer = instances.http.get(url).bearer_auth(&self.access).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    }

    /// Whether an instance takes the refresh token.
    async fn is_refreshed(&self, instances: &Instances, n: usize) -> bool {
        let grant = json!({"grant_type": "refresh_token", "refresh_token": self.refresh});
        let url = format!("{}/auth/refresh", instances.url(n));
        instances.http.post(url).json(&grant).send().await.unwrap().status() == StatusCode::OK
    }

    /// Asserts that the access token is dead here, and measures until it is dead on the other instance too.
    async fn ended_here_and_soon_there(&self, instances: &Instances, since: Instant, how: &str) {
        assert!(!self.is_let_in(instances, 0).await, "{how}: here at once");
        while self.is_let_in(instances, 1).await {
            assert!(since.elapsed() < PATIENCE, "{how}: never elsewhere");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lag = since.elapsed();
        println!("{how}: elsewhere after {} ms", lag.as_millis());
        assert!(lag < FIVE_SECONDS, "{how}: {lag:?}");
    }
}

pub(super) async fn ended_access_is_refused_here_at_once_and_elsewhere_within_five_seconds(store: FreshStore) {
    let instances = Instances::start(store, 2).await;
    instances.provision(&json!({"premium": 1_000_000})).await;
    let deleted = Client::register(&instances, "deleted").await;
    let revoked = Client::register(&instances, "revoked").await;
    let ended = Client::register(&instances, "ended").await;
    let recreated = Client::register(&instances, "recreated").await;
    let untouched = Client::register(&instances, "untouched").await;
    for client in [&deleted, &revoked, &ended, &recreated, &untouched] {
        for n in 0..2 {
            // Both know it now, and may remember.
            assert!(client.is_let_in(&instances, n).await, "{}", client.app_id);
        }
    }
    let since = Instant::now();
    let admin = async |method: Method, suffix: &str, expected: u16| {
        let body = json!({"app_name": "Again", "secret_delivery": "inline"});
        let call = instances.admin(0, method.clone(), &format!("/orgs/{ORG}/apps/{suffix}"));
        let call = if method == Method::PUT { call.json(&body) } else { call };
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), expected, "{suffix}");
    };
    admin(Method::DELETE, "deleted", 204).await;
    admin(Method::POST, "revoked/credentials/revoke-tokens", 204).await;
    let revoke = instances.http.post(format!("{}/auth/revoke", instances.url(0))).bearer_auth(&ended.access);
    let answer = revoke.json(&json!({"token": ended.refresh})).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    admin(Method::DELETE, "recreated", 204).await;
    admin(Method::PUT, "recreated", 201).await;

    futures::join!(
        deleted.ended_here_and_soon_there(&instances, since, "the client was deleted"),
        revoked.ended_here_and_soon_there(&instances, since, "all its tokens were revoked"),
        ended.ended_here_and_soon_there(&instances, since, "its session was revoked"),
        recreated.ended_here_and_soon_there(&instances, since, "the client was deleted and registered again"),
    );
    for n in 0..2 {
        for client in [&deleted, &revoked, &ended, &recreated] {
            assert!(!client.is_refreshed(&instances, n).await, "{} at {n}", client.app_id);
        }
        // Of those whose secret is still good, a new session is.
        for (client, good) in [(&deleted, false), (&revoked, true), (&ended, true), (&recreated, false)] {
            assert_eq!(client.tokens(&instances, n).await.is_some(), good, "{} at {n}", client.app_id);
        }
        assert!(untouched.is_let_in(&instances, n).await && untouched.is_refreshed(&instances, n).await);
    }
}

pub(super) async fn a_rotation_without_grace_ends_the_old_secret_on_every_instance_at_once(store: FreshStore) {
    let instances = Instances::start(store, 2).await;
    instances.provision(&json!({"premium": 1_000_000})).await;
    let mut client = Client::register(&instances, "rotated").await;
    for n in 0..2 {
        assert!(client.tokens(&instances, n).await.is_some());
    }
    let body = json!({"grace_period_hours": 0, "secret_delivery": "inline"});
    let path = format!("/orgs/{ORG}/apps/rotated/credentials/rotate");
    let answer = instances.admin(0, Method::POST, &path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let new: Value = answer.json().await.unwrap();
    for n in 0..2 {
        assert!(client.tokens(&instances, n).await.is_none(), "the old secret at {n}");
    }
    client.credentials = new;
    for n in 0..2 {
        assert!(client.tokens(&instances, n).await.is_some(), "the new secret at {n}");
        assert!(client.is_let_in(&instances, n).await, "its tokens stay at {n}");
    }
}

pub(super) async fn a_secret_is_retrieved_once_whichever_instances_are_asked(store: FreshStore) {
    let instances = Instances::start(store, 2).await;
    instances.provision(&json!({"premium": 1_000_000})).await;
    for round in 0..5 {
        let path = format!("/orgs/{ORG}/apps/once-{round}");
        let app = json!({"app_name": "Once"});
        let created: Value =
            instances.admin(round, Method::PUT, &path).json(&app).send().await.unwrap().json().await.unwrap();
        let credentials = &created["credentials"];
        let url = credentials["secret_retrieval"]["url"].as_str().unwrap().trim_start_matches("/api/v1");
        let asked = (0..32).map(|n| instances.admin(n, Method::GET, url).send());
        let mut secrets = Vec::new();
        for answer in futures::future::join_all(asked).await {
            let answer = answer.unwrap();
            match answer.status() {
                StatusCode::OK => secrets.push(answer.json::<Value>().await.unwrap()["client_secret"].clone()),
                StatusCode::NOT_FOUND => {}
                other => panic!("{other}: {}", answer.text().await.unwrap()),
            }
        }
        assert_eq!(secrets.len(), 1, "round {round}");
        let credentials = json!({"client_id": credentials["client_id"], "client_secret": secrets[0]});
        instances.log_in(1, &credentials).await;
    }
}
