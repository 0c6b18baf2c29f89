//! Many submissions at once: each counts once, and every fraction of a micro-dollar counts.

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::support::server::{TestServer, request_id};
use crate::support::tenants::usage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_concurrent_clients_with_one_request_id_count_once() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = usage(&request_id(1), "premium");
    let replies = join_all((0..64).map(|_| async { chat.post("/usage", &body).await.ok(202) })).await;
    let first: Vec<_> = replies.iter().filter(|reply| reply["duplicate"] == false).collect();
    assert_eq!(first.len(), 1);
    for reply in &replies {
        assert_eq!(reply["processing"], first[0]["processing"]);
        assert_eq!(reply["daily_total"]["requests"], 1);
    }
    let premium = &chat.today().await["models"]["premium"];
    assert_eq!((&premium["requests"], &premium["cost_usd_micros"]), (&json!(1), &json!(3760)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_submissions_with_one_id_and_two_bodies_one_body_wins() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let bodies = ["premium", "economy"].map(|label| usage(&request_id(1), label));
    let [mut premium, mut economy] = [Vec::new(), Vec::new()];
    for (n, reply) in
        join_all((0..32).map(|n| chat.post("/usage", &bodies[n % 2]).into_future())).await.iter().enumerate()
    {
        if n % 2 == 0 { premium.push(reply.status) } else { economy.push(reply.status) }
    }
    let (won, lost) = (vec![202; 16], vec![409; 16]);
    assert!((&premium, &economy) == (&won, &lost) || (&premium, &economy) == (&lost, &won), "{premium:?} {economy:?}");
    let today = chat.today().await;
    let requests = ["premium", "economy"].map(|label| today["models"][label]["requests"].as_u64().unwrap());
    assert_eq!(requests.iter().sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_of_a_third_of_a_micro_dollar_sum_exactly() {
    // 350,000 pico-dollars a token: 0.35 micro-USD a call.
    let server = TestServer::with(|setup| setup.priced_label("cheap", 350_000, 0)).await;
    let org = server.org(json!({"model_ordering": ["cheap"], "quotas": {"cheap": 3_500}})).await;
    let chat = org.app("chat", json!({})).await;
    let batch = |n: u32| -> Value {
        let call = |id: u32| {
            json!({
                "request_id": request_id(id), "model_label": "cheap", "status": "OK", "input_tokens": 1, "output_tokens": 0,
            })
        };
        json!({"requests": (n * 100..n * 100 + 100).map(call).collect::<Vec<_>>()})
    };
    let submit = |n: u32| {
        let call = chat.post("/usage/batch", &batch(n));
        async move {
            let reply = call.await.ok(207);
            assert_eq!((&reply["accepted"], &reply["results"][0]["cost_usd_micros"]), (&json!(100), &json!(0)));
        }
    };
    stream::iter(0..99).for_each_concurrent(8, submit).await;
    assert_eq!(chat.selection().await.ok(200)["quota_status"]["mode"], "TIGHT", "one batch before the quota is spent");
    submit(99).await;
    for tenant in [&chat, &org] {
        let today = tenant.today().await;
        assert_eq!(today["total_cost_usd_micros"], 3_500);
        assert_eq!(today["models"]["cheap"]["requests"], 10_000);
        assert_eq!(today["month"]["cost_usd_micros"], 3_500);
    }
    // Spent to the pico-dollar.
    chat.selection().await.error(429, "QUOTA_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_submissions_of_several_applications_lose_no_count() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let apps = [org.app("a", json!({})).await, org.app("b", json!({})).await, org.app("c", json!({})).await];
    let labels = ["premium", "standard", "economy"];
    join_all((0..90).map(|n: usize| apps[n % 3].spend(labels[n / 30], n as u64))).await;
    let today = org.today().await;
    assert_eq!(today["total_cost_usd_micros"], (0..90).sum::<u64>());
    for label in labels {
        assert_eq!(today["models"][label]["requests"], 30);
    }
    for app in ["a", "b", "c"] {
        assert_eq!(today["apps"][app]["requests"], 30);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_checks_agree_on_one_fallback() {
    let server = TestServer::start().await;
    let org = server.org(json!({"quota_scope": "ORG"})).await;
    let (chat, mail) = (org.app("chat", json!({})).await, org.app("mail", json!({})).await);
    chat.spend("premium", 10_000_000).await;
    let checks = join_all((0..32).map(|n| if n % 2 == 0 { chat.recommended() } else { mail.recommended() })).await;
    assert!(checks.iter().all(|(label, _)| label == "standard"), "{checks:?}");
    let moved = checks.iter().filter(|(_, reason)| reason == "QUOTA_EXCEEDED_PREMIUM").count();
    assert_eq!(moved, 1, "one check moves it, for the others it sticks: {checks:?}");
}

#[tokio::test]
async fn what_was_accepted_survives_a_restart() {
    let server = TestServer::start().await;
    let (path, token) = {
        let chat = server.chat(json!({})).await;
        chat.spend("premium", 10_000_000).await;
        chat.selection().await.ok(200);
        (chat.path.clone(), chat.token.clone())
    };
    let data = server.stop().await;
    let again = TestServer::with(|setup| {
        setup.data = data;
        setup.seed = 2;
    })
    .await;
    let selection = again.get(&format!("{path}/model-selection")).bearer(&token).await.ok(200);
    assert_eq!(selection["recommended_model"]["reason"], "STICKY_FALLBACK");
    let today = again.get(&format!("{path}/aggregates/today")).bearer(&token).await.ok(200);
    assert_eq!(today["total_cost_usd_micros"], 10_000_000);
}
