//! Opaque inference profiles, explained by an imitation of Bedrock's control plane on this machine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bedrock::{Answer, Bedrock, profile};
use crate::support::client::Reply;
use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{Tenant, usage, with};

const ARN: &str = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123def456";
const GENEROUS: Duration = Duration::from_secs(8);

fn eu() -> Answer {
    Answer::Models(vec!["eu-central-1", "eu-west-1", "eu-west-3"])
}

async fn server_asking(bedrock: &Bedrock, timeout: Duration) -> TestServer {
    TestServer::with(|setup| bedrock.asked_by(setup, timeout)).await
}

/// The application `chat` with the profile under the label `support`.
async fn chat(server: &TestServer) -> Tenant<'_> {
    let chat = server.chat(json!({})).await;
    let body = json!({"profile_label": "support", "inference_profile_arn": ARN});
    chat.post("/inference-profiles", &body).await.ok(201);
    chat
}

async fn submit(chat: &Tenant<'_>, n: u32) -> Reply {
    let body = with(usage(&request_id(n), "support"), json!({"calling_region": "eu-central-1"}));
    chat.post("/usage", &body).await.ok(202)
}

/// Status, priced model and cost of a submission.
fn priced(reply: &Reply) -> (Value, Value, Value) {
    let processing = &reply["processing"];
    (
        processing["pricing"]["status"].clone(),
        processing["pricing"]["model_id"].clone(),
        processing["cost_usd_micros"].clone(),
    )
}

fn unpriced() -> (Value, Value, Value) {
    (json!("UNPRICED"), json!(ARN), json!(0))
}

#[tokio::test]
async fn a_profile_is_asked_for_on_first_use_in_its_region_and_priced_as_what_is_behind_it() {
    let bedrock = Bedrock::start(eu()).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let chat = chat(&server).await;
    assert_eq!(bedrock.calls(), 0, "not on registration");
    let before = chat.get("/inference-profiles/support").await.ok(200);
    assert_eq!(before["priced_model_id"], json!(null));

    let (status, model_id, cost) = priced(&submit(&chat, 1).await);
    assert_ne!(status, "UNPRICED");
    assert_eq!(model_id, "eu.amazon.nova-pro-v1:0");
    assert!(cost.as_u64().unwrap() > 0);
    let [question] = &bedrock.questions()[..] else { panic!("{:?}", bedrock.questions()) };
    assert_eq!(question.profile, ARN);
    assert!(question.authorization.contains("/eu-central-1/bedrock/aws4_request"), "{}", question.authorization);

    submit(&chat, 2).await;
    let after = chat.get("/inference-profiles/support").await.ok(200);
    assert_eq!(
        (&after["model"], &after["priced_model_id"]),
        (&json!("amazon.nova-pro-v1:0"), &json!("eu.amazon.nova-pro-v1:0"))
    );
    assert_eq!(bedrock.calls(), 1);
}

#[tokio::test]
async fn the_models_a_profile_has_decide_its_scope() {
    for (regions, model_id) in [
        (&["us-east-1"][..], "amazon.nova-pro-v1:0"),
        (&["us-east-1", "us-west-2"], "us.amazon.nova-pro-v1:0"),
        (&["ap-northeast-1", "ap-southeast-1"], "apac.amazon.nova-pro-v1:0"),
        (&["us-east-1", "eu-west-1", ""], "global.amazon.nova-pro-v1:0"),
        (&["us-east-1", "eu-west-1"], ARN),
    ] {
        let bedrock = Bedrock::start(Answer::Models(regions.to_vec())).await;
        let server = server_asking(&bedrock, GENEROUS).await;
        let chat = chat(&server).await;
        assert_eq!(priced(&submit(&chat, 1).await).1, model_id, "{regions:?}");
    }
}

#[tokio::test]
async fn of_concurrent_first_uses_one_asks_and_all_are_priced() {
    let bedrock = Bedrock::start(eu()).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let chat = chat(&server).await;
    let replies = futures::future::join_all((0..32).map(|n| submit(&chat, n))).await;
    assert!(replies.iter().all(|reply| priced(reply).1 == "eu.amazon.nova-pro-v1:0"));
    assert_eq!(bedrock.calls(), 1);
    assert_eq!(chat.today().await["models"]["support"]["requests"], 32);
}

#[tokio::test]
async fn an_answer_is_used_for_a_day_and_beyond_where_it_cannot_be_renewed() {
    let bedrock = Bedrock::start(eu()).await;
    let server = TestServer::with(|setup| {
        bedrock.asked_by(setup, GENEROUS);
        setup.tokens_live_long();
    })
    .await;
    let chat = chat(&server).await;
    submit(&chat, 1).await;
    server.at("2026-01-24T15:30:44Z");
    submit(&chat, 2).await;
    assert_eq!(bedrock.calls(), 1);
    bedrock.answers(Answer::NotFound);
    server.at("2026-01-24T15:30:45Z");
    assert_eq!(priced(&submit(&chat, 3).await).1, "eu.amazon.nova-pro-v1:0");
    assert_eq!(bedrock.calls(), 2);
}

#[tokio::test]
async fn a_failure_costs_a_price_for_a_minute_and_never_a_submission() {
    let custom = json!([{"modelArn": "arn:aws:bedrock:eu-west-1:123456789012:custom-model/amazon.nova-pro-v1:0/x"}]);
    for failure in [
        Answer::NotFound,
        Answer::Denied,
        Answer::Garbage,
        Answer::Body(json!({})),
        Answer::Body(profile(ARN, &json!([]))),
        Answer::Body(profile(ARN, &json!([{}]))),
        Answer::Body(profile(ARN, &custom)),
    ] {
        let bedrock = Bedrock::start(failure.clone()).await;
        let server = server_asking(&bedrock, GENEROUS).await;
        let chat = chat(&server).await;
        assert_eq!(priced(&submit(&chat, 1).await), unpriced(), "{failure:?}");
        let calls = bedrock.calls();
        bedrock.answers(eu());
        server.at("2026-01-23T15:31:44Z");
        assert_eq!(priced(&submit(&chat, 2).await), unpriced(), "{failure:?}");
        assert_eq!(bedrock.calls(), calls, "{failure:?}");
        server.at("2026-01-23T15:31:45Z");
        assert_eq!(priced(&submit(&chat, 3).await).1, "eu.amazon.nova-pro-v1:0", "{failure:?}");
        let support = &chat.today().await["models"]["support"];
        assert_eq!((&support["requests"], &support["unpriced_requests"]), (&json!(3), &json!(2)));
    }
}

#[tokio::test]
async fn throttling_is_overcome_by_asking_again_and_a_lasting_fault_is_given_up() {
    let bedrock = Bedrock::start(Answer::Throttled(2, vec!["eu-central-1", "eu-west-1"])).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let throttled = chat(&server).await;
    assert_eq!(priced(&submit(&throttled, 1).await).1, "eu.amazon.nova-pro-v1:0");
    assert_eq!(bedrock.calls(), 3);

    let bedrock = Bedrock::start(Answer::Broken).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let broken = chat(&server).await;
    assert_eq!(priced(&submit(&broken, 1).await), unpriced());
    assert_eq!(bedrock.calls(), 3);
}

#[tokio::test]
async fn silence_delays_one_submission_by_the_time_out_and_no_other() {
    let bedrock = Bedrock::start(Answer::Silence).await;
    let server = server_asking(&bedrock, Duration::from_millis(400)).await;
    let chat = chat(&server).await;
    let started = Instant::now();
    assert_eq!(priced(&submit(&chat, 1).await), unpriced());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let calls = bedrock.calls();
    assert!((1..=2).contains(&calls), "{calls}");
    assert_eq!(priced(&submit(&chat, 2).await), unpriced());
    assert_eq!(bedrock.calls(), calls);
}

#[tokio::test]
async fn a_batch_asks_for_each_profile_once() {
    let bedrock = Bedrock::start(eu()).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let chat = chat(&server).await;
    let arn = |n: u32| format!("arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/p{}", n % 5);
    let records: Vec<_> =
        (0..50).map(|n| with(usage(&request_id(n), "premium"), json!({"bedrock_model_id": arn(n)}))).collect();
    let reply = chat.post("/usage/batch", &json!({"requests": records})).await.ok(207);
    assert_eq!((&reply["accepted"], bedrock.calls()), (&json!(50), 5));
    assert_eq!(chat.today().await["models"]["premium"]["unpriced_requests"], 0);
}

#[tokio::test]
async fn what_was_called_is_priced_also_where_the_label_is_another_and_in_the_profiles_region() {
    let bedrock = Bedrock::start(eu()).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let chat = chat(&server).await;
    let by_label = priced(&submit(&chat, 1).await);
    let body = with(usage(&request_id(2), "premium"), json!({"bedrock_model_id": ARN}));
    let reply = chat.post("/usage", &body).await.ok(202);
    assert_eq!(priced(&reply), by_label);
    assert_eq!(reply["daily_total"]["label"], "premium");
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_refused_or_has_a_price_of_the_operator() {
    let bedrock = Bedrock::start(eu()).await;
    let server = TestServer::with(|setup| {
        bedrock.asked_by(setup, GENEROUS);
        setup.priced_label("house", 2_000_000, 1_000_000);
        setup.label("house", "").bedrock_model_id = ARN.to_owned();
    })
    .await;
    let chat = server.chat(json!({"model_ordering": ["house"], "quotas": {"house": 10_000_000, "premium": 5}})).await;
    let reply = chat.post("/usage", &usage(&request_id(1), "house")).await.ok(202);
    assert_eq!(priced(&reply), (json!("PRICED"), json!(ARN), json!(3_800)));
    let refused = with(usage(&request_id(2), "unheard-of"), json!({"bedrock_model_id": ARN}));
    chat.post("/usage", &refused).await.error(400, "INVALID_MODEL_LABEL");
    assert_eq!(bedrock.calls(), 0);
    // Also beside somebody who has to ask.
    let asks = with(usage(&request_id(3), "premium"), json!({"bedrock_model_id": ARN}));
    let records = json!({"requests": [asks, usage(&request_id(4), "house")]});
    let reply = chat.post("/usage/batch", &records).await.ok(207);
    assert_eq!((&reply["results"][1]["cost_usd_micros"], bedrock.calls()), (&json!(3_800), 1));
}

#[tokio::test]
async fn a_recommendation_shows_the_price_of_an_opaque_profile_once_it_was_used() {
    let bedrock = Bedrock::start(eu()).await;
    let server = server_asking(&bedrock, GENEROUS).await;
    let chat = chat(&server).await;
    let config = json!({"app_name": "Chat", "model_ordering": ["support"], "quotas": {"support": 10_000_000}});
    chat.admin("PUT", "").json(&config).await.ok(200);
    let first = chat.selection().await.ok(200);
    assert_eq!(
        (&first["recommended_model"]["bedrock_model_id"], &first["pricing"]["status"]),
        (&json!(ARN), &json!("UNPRICED"))
    );
    assert_eq!(bedrock.calls(), 0);
    submit(&chat, 1).await;
    let second = chat.selection().await.ok(200);
    assert!(second["pricing"]["input_price_usd_micros_per_1m"].as_u64().is_some_and(|price| price > 0));
}
