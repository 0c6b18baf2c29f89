//! Failed logins and wrong provisioning keys: counted by client id and by address, without helping those who guess and
//! without hurting those who do not.

use std::net::IpAddr;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::audit::trail;
use super::rate_limits::{limited, standing, wait, waits};
use crate::support::client::{Call, Reply};
use crate::support::server::{ADMIN_KEY, TestServer};
use crate::support::tenants::{OTHER_ORG, Tenant};

/// A server on which nothing but failures is scarce.
async fn throttled() -> TestServer {
    limited(|config| {
        config.token_per_minute = 1_000_000;
        config.refresh_per_minute = 1_000_000;
        config.provisioning_per_minute = 1_000_000;
    })
    .await
}

/// The same behind a proxy on this machine.
async fn behind_a_proxy() -> TestServer {
    TestServer::with(|setup| {
        setup.config.rate_limits.enabled = true;
        setup.config.rate_limits.token_per_minute = 1_000_000;
        setup.config.server.trusted_proxies = vec!["127.0.0.1".to_owned(), "10.0.0.0/8".to_owned()];
    })
    .await
}

fn login(server: &TestServer, client_id: &str, secret: &str) -> Call {
    let grant = json!({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret});
    server.post("/auth/token").json(&grant)
}

fn refresh(server: &TestServer, token: &str) -> Call {
    server.post("/auth/refresh").json(&json!({"grant_type": "refresh_token", "refresh_token": token}))
}

/// The n-th client id that nobody has.
fn stranger(n: usize) -> String {
    format!("org-{OTHER_ORG}-app-{n}")
}

/// How many of these answers failed before one is told to wait.
async fn failures(mut call: impl AsyncFnMut(usize) -> Reply) -> usize {
    for n in 0..1_000 {
        let reply = call(n).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            waits(&reply);
            return n;
        }
        reply.error(401, "UNAUTHORIZED");
    }
    panic!("nobody was told to wait");
}

#[tokio::test]
async fn ten_failures_a_minute_are_let_through_for_one_client_id() {
    let server = throttled().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    assert_eq!(failures(async |_| login(&server, &chat.client_id, "wrong").await).await, 10);
    let refused = login(&server, &chat.client_id, &chat.secret).await.error(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!((standing(&refused), waits(&refused)), (("10", "0", chat.client_id.as_str()), 6));
    assert_eq!(refused["error_description"], refused["message"]);
    // Also with a refresh token, where credentials go with it; and in any spelling.
    waits(
        &server
            .post("/auth/refresh")
            .json(&json!({
                "grant_type": "refresh_token", "refresh_token": chat.refresh_token, "client_id": chat.client_id,
                "client_secret": "wrong",
            }))
            .await,
    );
    let shouted = chat.client_id.replace("e29b", "E29B");
    waits(&login(&server, &shouted, "wrong").await);
    login(&server, &mail.client_id, &mail.secret).await.ok(200);
    wait(&server, 5);
    waits(&login(&server, &chat.client_id, &chat.secret).await);
    wait(&server, 1);
    login(&server, &chat.client_id, &chat.secret).await.ok(200);
}

#[tokio::test]
async fn with_every_default_the_eleventh_wrong_secret_is_not_even_looked_at() {
    let server = limited(|_| {}).await;
    let chat = server.chat(json!({})).await;
    wait(&server, 60);
    server.store.take_credential_calls();
    assert_eq!(failures(async |_| login(&server, &chat.client_id, "wrong").await).await, 10);
    assert_eq!(server.store.take_credential_calls().len(), 10);
}

/// What of an answer a caller can tell clients apart by.
fn told(mut reply: Reply, client_id: &str) -> (u16, Value, Vec<(String, String)>) {
    reply.json["request_id"] = Value::Null;
    let headers = reply.headers.iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().replace(client_id, "CLIENT")));
    (reply.status, reply.json.clone(), headers.collect())
}

#[tokio::test]
async fn a_client_id_that_nobody_has_is_throttled_like_one_that_somebody_has() {
    let server = throttled().await;
    // Also where its organization has limits of its own.
    let chat = server.chat(json!({"rate_limits": {"token": 3, "refresh": 3}})).await;
    let unknown = stranger(1);
    wait(&server, 60);
    for _ in 0..15 {
        let known = told(login(&server, &chat.client_id, "wrong").await, &chat.client_id);
        let stranger = told(login(&server, &unknown, "wrong").await, &unknown);
        assert_eq!(known, stranger);
        let malformed = |client_id: &str| {
            let body = json!({"grant_type": "refresh_token", "client_id": client_id, "client_secret": "wrong"});
            server.post("/auth/refresh").json(&body)
        };
        let known = told(malformed(&chat.client_id).await, &chat.client_id);
        assert_eq!(known, told(malformed(&unknown).await, &unknown));
    }
}

#[tokio::test]
async fn a_hundred_failures_a_minute_are_let_through_from_one_address() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    assert_eq!(failures(async |n| login(&server, &stranger(n), "wrong").await).await, 100);
    let refused = login(&server, &chat.client_id, &chat.secret).await;
    assert_eq!((standing(&refused), waits(&refused)), (("100", "0", chat.client_id.as_str()), 1));
    waits(&refresh(&server, &chat.refresh_token).await);
    // Who has a token works on, and administrators are not concerned.
    chat.get("/model-selection").await.ok(200);
    server.get("/api/v1/orgs").admin().await.ok(200);
    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();
    let http = reqwest::Client::builder().no_proxy().local_address(elsewhere).build().unwrap();
    let grant = json!({"grant_type": "client_credentials", "client_id": chat.client_id, "client_secret": chat.secret});
    let url = format!("http://{}/auth/token", server.address());
    let answer =
        http.post(url).header("content-type", "application/json").body(grant.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    wait(&server, 1);
    login(&server, &chat.client_id, &chat.secret).await.ok(200);
}

#[tokio::test]
async fn ids_that_are_none_and_requests_without_one_count_by_address_only() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    let garbage = failures(async |n| {
        let reply = match n % 4 {
            0 => login(&server, "no client id", "wrong").await,
            1 => refresh(&server, "no token").await,
            2 => server.post("/auth/token").json(&json!({"grant_type": "client_credentials"})).await,
            _ => {
                let basic = login(&server, "", "").header("authorization", "Basic !");
                basic.await
            }
        };
        let named = if reply.status == 401 { "x-ratelimit-clientid" } else { "" };
        assert_eq!(if named.is_empty() { "" } else { reply.header(named) }, "");
        reply
    });
    assert_eq!(garbage.await, 100);
    waits(&login(&server, &chat.client_id, &chat.secret).await);
}

#[tokio::test]
async fn who_forges_x_forwarded_for_gains_nothing() {
    let server = throttled().await;
    let forged =
        async |n| login(&server, &stranger(n), "wrong").header("x-forwarded-for", &format!("192.0.2.{n}")).await;
    assert_eq!(failures(forged).await, 100);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_an_address_of_its_own() {
    let server = behind_a_proxy().await;
    // The proxy appends whom it got the request from; what stands left of it is the client's invention.
    let from = |client: &str, n: usize| {
        let list = format!("203.0.113.{n}, {client}, 10.1.2.3");
        login(&server, &stranger(n), "wrong").header("x-forwarded-for", &list)
    };
    assert_eq!(failures(async |n| from("198.51.100.1", n).await).await, 100);
    from("198.51.100.2", 1).await.error(401, "UNAUTHORIZED");
    from("[2001:db8::1]:4711", 2).await.error(401, "UNAUTHORIZED");
    waits(&from("198.51.100.1:9999", 3).await);
}

#[tokio::test]
async fn failures_use_up_no_logins_of_the_client() {
    let server = limited(|config| config.token_per_minute = 2).await;
    let chat = server.chat(json!({})).await;
    wait(&server, 60);
    for left in (0..5).rev() {
        let reply = login(&server, &chat.client_id, "wrong").await.error(401, "UNAUTHORIZED");
        assert_eq!(standing(&reply), ("10", &*(5 + left).to_string(), chat.client_id.as_str()));
    }
    for left in ["1", "0"] {
        let reply = login(&server, &chat.client_id, &chat.secret).await.ok(200);
        assert_eq!(standing(&reply), ("2", left, chat.client_id.as_str()));
    }
    // Not looked at, so it did not fail.
    assert_eq!(standing(&login(&server, &chat.client_id, "wrong").await).0, "2");
    let reply = login(&server, &stranger(1), "wrong").await.error(401, "UNAUTHORIZED");
    assert_eq!(standing(&reply).1, "9");
}

#[tokio::test]
async fn of_many_logins_at_once_exactly_as_many_succeed_as_allowed() {
    let server = limited(|config| config.token_per_minute = 7).await;
    let chat = server.chat(json!({})).await;
    wait(&server, 60);
    let logins = (0..100).map(|_| async { login(&server, &chat.client_id, &chat.secret).await });
    let replies = futures::future::join_all(logins).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 7);
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        waits(refused);
        assert!(refused["access_token"].is_null());
    }
}

#[tokio::test]
async fn a_login_that_succeeds_does_not_count() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    for _ in 0..9 {
        login(&server, &chat.client_id, "wrong").await.error(401, "UNAUTHORIZED");
    }
    for _ in 0..150 {
        login(&server, &chat.client_id, &chat.secret).await.ok(200);
        refresh(&server, &chat.refresh_token).await.ok(200);
        // Not understood is not failed.
        server.post("/auth/token").json(&json!({"grant_type": "password"})).await.error(400, "INVALID_REQUEST");
    }
    login(&server, &chat.client_id, "wrong").await.error(401, "UNAUTHORIZED");
    waits(&login(&server, &chat.client_id, "wrong").await);
}

#[tokio::test]
async fn a_dead_refresh_token_counts_for_the_client_it_names() {
    let server = throttled().await;
    let org = server.org(json!({})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    chat.admin("POST", "/credentials/revoke-tokens").await.ok(204);
    assert_eq!(failures(async |_| refresh(&server, &chat.refresh_token).await).await, 10);
    waits(&login(&server, &chat.client_id, &chat.secret).await);
    refresh(&server, &mail.refresh_token).await.ok(200);
    // Whose secrets are guessed is who is claimed, whoever's token goes with the guess.
    let guess = json!({
        "grant_type": "refresh_token", "refresh_token": mail.refresh_token, "client_id": org.client_id,
        "client_secret": "wrong",
    });
    assert_eq!(failures(async |_| server.post("/auth/refresh").json(&guess).await).await, 10);
    waits(&login(&server, &org.client_id, &org.secret).await);
    login(&server, &mail.client_id, &mail.secret).await.ok(200);
}

#[tokio::test]
async fn of_many_wrong_secrets_at_once_exactly_ten_are_looked_at() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    server.store.take_credential_calls();
    let attempts = (0..200).map(|_| async { login(&server, &chat.client_id, "wrong").await.status });
    let statuses = futures::future::join_all(attempts).await;
    let count = |status: u16| statuses.iter().filter(|got| **got == status).count();
    assert_eq!((count(401), count(429)), (10, 190));
    assert_eq!(server.store.take_credential_calls().len(), 10);
}

#[tokio::test]
async fn of_many_right_secrets_at_once_none_is_taken_for_a_wrong_one() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    let attempts = (0..200).map(|_| async { login(&server, &chat.client_id, &chat.secret).await.status });
    assert!(futures::future::join_all(attempts).await.iter().all(|status| *status == 200));
}

#[tokio::test]
async fn a_hundred_wrong_provisioning_keys_a_minute_are_let_through_from_one_address() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    for _ in 0..200 {
        server.get("/api/v1/orgs").admin().await.ok(200);
    }
    let wrong = async |n: usize| {
        let path = if n.is_multiple_of(2) { "/api/v1/orgs" } else { "/metrics" };
        server.get(path).header("x-api-key", "wrong").await
    };
    assert_eq!(failures(wrong).await, 100);
    // No key is looked at now, so nobody learns which is right.
    waits(&server.get("/api/v1/orgs").admin().await);
    waits(&server.get("/metrics").header("x-api-key", ADMIN_KEY).await);
    // A bucket of its own: clients log in and work.
    login(&server, &chat.client_id, &chat.secret).await.ok(200);
    login(&server, &chat.client_id, "wrong").await.error(401, "UNAUTHORIZED");
    chat.get("/model-selection").await.ok(200);
    wait(&server, 1);
    server.get("/api/v1/orgs").admin().await.ok(200);
}

#[tokio::test]
async fn expired_access_tokens_lock_nobody_out() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    for _ in 0..300 {
        server.get("/api/v1/models").bearer("expired").await.error(401, "UNAUTHORIZED");
    }
    login(&server, &chat.client_id, &chat.secret).await.ok(200);
    chat.get("/model-selection").await.ok(200);
}

#[tokio::test]
async fn a_throttled_login_is_in_the_audit_trail_once_a_minute() {
    let server = throttled().await;
    let chat = server.chat(json!({})).await;
    let before = server.store.appended();
    let events = async |server: &TestServer| {
        let mut events = trail(server).await;
        events.retain(|event| event["action"] == "login_throttled");
        events
    };
    let attempts = async |chat: &Tenant<'_>| {
        for _ in 0..30 {
            login(&server, &chat.client_id, "wrong").await;
        }
    };
    attempts(&chat).await;
    // Ten refusals, and the throttle.
    server.store.have_appended(before + 11).await;
    let seen = events(&server).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((&seen[0]["subject"], &seen[0]["address"]), (&json!(chat.client_id), &json!("127.0.0.1")));
    wait(&server, 61);
    attempts(&chat).await;
    server.store.have_appended(before + 22).await;
    assert_eq!(events(&server).await.len(), 2);
}
