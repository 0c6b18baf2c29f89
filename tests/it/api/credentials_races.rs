//! Credentials and tokens under concurrent requests.

use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::server::TestServer;
use crate::support::tenants::{ORG, Tenant, app_body, org_body, with};

/// As many as a deployment that restarts everywhere at once.
const MANY: usize = 32;

async fn start() -> TestServer {
    TestServer::with(|setup| setup.config.rate_limits.enabled = false).await
}

async fn refreshed(tenant: &Tenant<'_>) -> Reply {
    let body = json!({"grant_type": "refresh_token", "refresh_token": tenant.refresh_token});
    tenant.server.post("/auth/refresh").json(&body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_concurrent_retrievals_exactly_one_gets_the_secret_and_it_works() {
    let server = start().await;
    let org = format!("/api/v1/orgs/{ORG}");
    for (path, body) in [(org.clone(), org_body()), (format!("{org}/apps/chat"), app_body())] {
        let created = server.put(&path).admin().json(&with(body, json!({"secret_delivery": null}))).await.ok(201);
        let credentials = &created["credentials"];
        let url = credentials["secret_retrieval"]["url"].as_str().unwrap();
        let replies = join_all((0..MANY).map(|_| async { server.get(url).admin().await })).await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, MANY - 1));
        for reply in lost {
            let reply = reply.error(404, "NOT_FOUND");
            assert!(reply.json.get("client_secret").is_none(), "{}", reply.text());
        }
        server.token(credentials["client_id"].as_str().unwrap(), won[0].str("client_secret")).await.ok(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_rotations_each_that_succeeded_was_in_force_and_the_last_two_still_work() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let body = json!({"grace_period_hours": 24, "secret_delivery": "inline"});
    let rotations =
        join_all((0..8).map(|_| async { chat.admin("POST", "/credentials/rotate").json(&body).await })).await;
    let mut issued = vec![chat.secret.clone()];
    for rotation in rotations {
        if rotation.status == 200 {
            issued.push(rotation.str("client_secret").to_owned());
        } else {
            // Nothing was issued, and it says so.
            rotation.error(409, "CONFLICT");
        }
    }
    assert!(issued.len() > 1, "one of them at least is served");
    let mut working = 0;
    for secret in &issued {
        working += usize::from(server.token(&chat.client_id, secret).await.status == 200);
    }
    assert_eq!(working, 2, "the one in force and the one before it, of {}", issued.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_access_token_of_a_session_ends_with_it_however_many_are_asked_for_meanwhile() {
    let server = start().await;
    let mut chat = server.chat(json!({})).await;
    let revoker = chat.token.clone();
    chat.log_in().await;
    let revoke = async {
        let body = json!({"token": chat.refresh_token});
        server.post("/auth/revoke").bearer(&revoker).json(&body).await.ok(204);
    };
    let ((), refreshes) = join(revoke, join_all((0..MANY).map(|_| refreshed(&chat)))).await;
    let path = format!("{}/model-selection", chat.path);
    for refresh in refreshes {
        if refresh.status == 200 {
            server.get(&path).bearer(refresh.str("access_token")).await.error(401, "UNAUTHORIZED");
        } else {
            refresh.error(401, "UNAUTHORIZED");
        }
    }
    refreshed(&chat).await.error(401, "UNAUTHORIZED");
    server.get(&path).bearer(&revoker).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_all_tokens_are_revoked_none_from_before_works_and_new_ones_do() {
    let server = start().await;
    let chat = server.chat(json!({})).await;
    let path = format!("{}/model-selection", chat.path);
    let log_in = || async { server.token(&chat.client_id, &chat.secret).await.ok(200).str("access_token").to_owned() };
    let before = join_all((0..MANY).map(|_| log_in())).await;
    let revoke_all = async { chat.admin("POST", "/credentials/revoke-tokens").await.ok(204) };
    // Whoever logs in meanwhile gets a token of before or of after; it must be one or the other.
    let (_, meanwhile) = join(revoke_all, join_all((0..MANY).map(|_| log_in()))).await;
    for token in before {
        server.get(&path).bearer(&token).await.error(401, "UNAUTHORIZED");
    }
    for token in meanwhile {
        let reply = server.get(&path).bearer(&token).await;
        assert!(matches!(reply.status, 200 | 401), "{}", reply.text());
    }
    server.get(&path).bearer(&log_in().await).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_registered_by_many_at_once_has_one_client_whose_secret_one_of_them_got() {
    let server = start().await;
    let path = format!("/api/v1/orgs/{ORG}");
    let put = || async { server.put(&path).admin().json(&org_body()).await };
    let replies = join_all((0..MANY).map(|_| put())).await;
    let mut secrets: Vec<Value> = Vec::new();
    for reply in replies {
        assert!(matches!(reply.status, 200 | 201 | 409), "{}", reply.text());
        secrets.extend(reply["credentials"].get("client_secret").cloned());
    }
    assert_eq!(secrets.len(), 1, "only who created it is told a secret");
    server.token(&format!("org-{ORG}"), secrets[0].as_str().unwrap()).await.ok(200);
}
