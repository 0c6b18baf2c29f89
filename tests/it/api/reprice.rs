//! Repricing: what had no price when it was recorded gets the one in force now, once, together with its totals.

use std::sync::Arc;

use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::pricing::{
    Place, PriceBook, PriceCatalog, PriceScope, PriceSource, PricingStatus, RateCard, Rates,
};
use bedrock_cost_keeper::domain::usage::{Counters, UsageRecord};
use bedrock_cost_keeper::storage::UsageLedger as _;
use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::faulty::Fault;
use crate::support::server::{Setup, TestServer, request_id};
use crate::support::tenants::{ORG, OTHER_ORG, Tenant, cost, usage, with};

/// A model no price list knows.
const MODEL: &str = "acme.house-model-v1:0";

/// With the label `house` for [`MODEL`], without a price.
async fn server() -> TestServer {
    TestServer::with(|setup| {
        setup.label("house", MODEL);
    })
    .await
}

/// Changes of an organization that let it use `house`.
fn houses() -> Value {
    json!({"model_ordering": ["house", "premium"], "quotas": {"house": 10_000_000, "premium": 10_000_000}})
}

/// From now on the model has this price per input and per output token, in pico-dollars.
pub(super) fn publish(server: &TestServer, input: u64, output: u64) {
    let mut book = PriceBook::new(PriceSource::PricingApi, "20260124");
    let base = Rates { input: Some(input), output: Some(output), ..Rates::default() };
    let place = Place { scope: PriceScope::InRegion, region: None };
    book.insert(MODEL, place, RateCard { base, ..RateCard::default() }).unwrap();
    server.app.services.pricer.replace(PriceCatalog::new(vec![Arc::new(book)]));
}

async fn reprice(server: &TestServer, body: Value) -> Reply {
    server.post("/api/v1/reprice").admin().json(&body).await
}

async fn apply(server: &TestServer) -> Reply {
    reprice(server, json!({"dry_run": false})).await.ok(200)
}

async fn stored(server: &TestServer, app: &str, id: &str) -> UsageRecord {
    let (org_id, app_id) = (ORG.parse().unwrap(), app.parse().unwrap());
    server.store.usage(org_id, &app_id, id.parse().unwrap()).await.unwrap().unwrap()
}

/// Examined, changed, unchanged, stale, refused.
fn counts(reply: &Reply) -> [u64; 5] {
    ["examined", "changed", "unchanged", "stale", "refused"].map(|member| reply[member].as_u64().unwrap())
}

/// Cost of `house` and its unpriced requests, on the day and in the month.
async fn spent(tenant: &Tenant<'_>) -> [Value; 3] {
    let today = tenant.today().await;
    let house = &today["models"]["house"];
    [house["cost_usd_micros"].clone(), house["unpriced_requests"].clone(), today["month"]["cost_usd_micros"].clone()]
}

#[tokio::test]
async fn a_price_set_later_is_shown_by_a_dry_run_and_applied_once() {
    let server = server().await;
    let org = server.org(houses()).await;
    let [chat, mail] = [org.app("chat", json!({})).await, org.app("mail", json!({})).await];
    for (n, app) in (0..).zip([&chat, &chat, &mail]) {
        let reply = app.post("/usage", &usage(&request_id(n), "house")).await.ok(202);
        assert_eq!(reply["processing"]["pricing"]["status"], "UNPRICED");
    }
    chat.post("/usage", &usage(&request_id(9), "premium")).await.ok(202);
    assert_eq!(spent(&org).await, [json!(0), json!(3), json!(3760)]);
    let paths = [org.path.clone(), chat.path.clone(), mail.path.clone()];
    let tokens = [org.token.clone(), chat.token.clone(), mail.token.clone()];

    // The operator sets a price and restarts the service.
    let data = server.stop().await;
    let server = TestServer::with(|setup: &mut Setup| {
        setup.data = data;
        setup.seed = 2;
        setup.priced_label("house", 1_000_000, 500_000);
    })
    .await;
    let today = async |n: usize| {
        let reply = server.get(&format!("{}/aggregates/today", paths[n])).bearer(&tokens[n]).await.ok(200);
        let house = &reply["models"]["house"];
        [&house["cost_usd_micros"], &house["unpriced_requests"], &house["requests"], &reply["month"]["cost_usd_micros"]]
            .map(|value| value.as_u64().unwrap())
    };
    let amounts = |records: u64| {
        json!({
            "records": records, "old_cost_usd_micros": 0, "new_cost_usd_micros": 1900 * records,
            "difference_usd_micros": 1900 * records, "old_unpriced_requests": records, "new_unpriced_requests": 0,
            "drift_difference_usd_micros": 0,
        })
    };
    let row = |app: &str, records| {
        with(amounts(records), json!({"org_id": ORG, "app_id": app, "day": "2026-01-23", "model_label": "house"}))
    };
    for body in [json!({}), json!({"dry_run": true})] {
        let dry = reprice(&server, body).await.ok(200);
        assert_eq!((&dry["applied"], counts(&dry)), (&json!(false), [3, 3, 0, 0, 0]));
        assert_eq!(dry["rows"], json!([row("chat", 2), row("mail", 1)]));
        assert_eq!((&dry["totals"], &dry["next_cursor"]), (&amounts(3), &Value::Null));
        assert_eq!(today(0).await, [0, 3, 3, 3760], "a dry run changes nothing");
    }
    let wet = apply(&server).await;
    assert_eq!((&wet["applied"], counts(&wet)), (&json!(true), [3, 3, 0, 0, 0]));
    assert_eq!(wet["rows"], json!([row("chat", 2), row("mail", 1)]));
    assert_eq!(today(0).await, [5700, 0, 3, 9460]);
    assert_eq!(today(1).await, [3800, 0, 2, 7560]);
    assert_eq!(today(2).await, [1900, 0, 1, 1900]);
    let record = stored(&server, "chat", &request_id(0)).await;
    assert_eq!((record.pricing.status, record.pricing.source), (PricingStatus::Priced, Some(PriceSource::Config)));
    assert_eq!((record.cost, record.server_cost), (PicoUsd::new(1_900_000_000), Some(PicoUsd::new(1_900_000_000))));

    let again = apply(&server).await;
    assert_eq!((counts(&again), &again["rows"]), ([0; 5], &json!([])));
    assert_eq!(today(0).await, [5700, 0, 3, 9460]);
    // The caller who repeats its submission learns the price too.
    let repeat = server
        .post(&format!("{}/usage", paths[1]))
        .bearer(&tokens[1])
        .json(&usage(&request_id(0), "house"))
        .await
        .ok(202);
    assert_eq!((&repeat["duplicate"], &repeat["processing"]["cost_usd_micros"]), (&json!(true), &json!(1900)));
}

#[tokio::test]
async fn what_still_has_no_price_stays_and_an_estimate_survives_the_loss_of_its_price() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    chat.post("/usage", &usage(&request_id(1), "house")).await.ok(202);
    assert_eq!(counts(&apply(&server).await), [1, 0, 1, 0, 0]);
    publish(&server, 1_000_000, 500_000);
    let batch = with(usage(&request_id(2), "house"), json!({"service_tier": "priority"}));
    let reply = chat.post("/usage", &batch).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["status"], "ESTIMATED");
    server.app.services.pricer.replace(PriceCatalog::new(Vec::new()));
    assert_eq!(counts(&apply(&server).await), [2, 0, 2, 0, 0]);
    assert_eq!(spent(&chat).await, [json!(1900), json!(1), json!(1900)]);
}

#[tokio::test]
async fn an_estimate_of_assumed_times_to_live_is_corrected_and_stays_an_estimate() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    // The response said how many tokens were written to the cache, not for how long.
    let body = |id: u32, details: Value| {
        let converse = json!({
            "inputTokens": 100, "outputTokens": 10, "totalTokens": 160, "cacheWriteInputTokens": 50,
            "cacheDetails": details,
        });
        json!({"request_id": request_id(id), "model_label": "house", "status": "OK", "usage": converse})
    };
    chat.post("/usage", &body(1, json!([]))).await.ok(202);
    chat.post("/usage", &body(2, json!([{"ttl": "5m", "inputTokens": 50}]))).await.ok(202);
    let status = async |id: u32| stored(&server, "chat", &request_id(id)).await.pricing.status;
    let price = |write: u64| {
        let mut book = PriceBook::new(PriceSource::PricingApi, "v");
        let base = Rates { input: Some(1_000_000), output: Some(0), cache_write_5m: Some(write), ..Rates::default() };
        let place = Place { scope: PriceScope::InRegion, region: None };
        book.insert(MODEL, place, RateCard { base, ..RateCard::default() }).unwrap();
        server.app.services.pricer.replace(PriceCatalog::new(vec![Arc::new(book)]));
    };
    price(2_000_000);
    assert_eq!(counts(&apply(&server).await), [2, 2, 0, 0, 0]);
    assert_eq!((status(1).await, status(2).await), (PricingStatus::Estimated, PricingStatus::Priced));
    assert_eq!(spent(&chat).await[0], 400);
    assert_eq!(counts(&apply(&server).await), [1, 0, 1, 0, 0], "the same figures are not written");
    // Another price corrects the estimate, downwards too; what was priced keeps its price.
    price(1_000_000);
    let reply = apply(&server).await;
    assert_eq!((counts(&reply), &reply["totals"]["difference_usd_micros"]), ([1, 1, 0, 0, 0], &json!(-50)));
    assert_eq!((status(1).await, status(2).await), (PricingStatus::Estimated, PricingStatus::Priced));
    assert_eq!(spent(&chat).await, [json!(350), json!(0), json!(350)]);
}

#[tokio::test]
async fn a_price_counts_from_its_date_on() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    chat.post("/usage", &usage(&request_id(1), "house")).await.ok(202);
    let mut book = PriceBook::new(PriceSource::PricingApi, "v");
    let card = RateCard {
        effective_from: Some("2026-02-01T00:00:00Z".parse().unwrap()),
        base: Rates { input: Some(1_000_000), output: Some(0), ..Rates::default() },
        ..RateCard::default()
    };
    book.insert(MODEL, Place { scope: PriceScope::InRegion, region: None }, card).unwrap();
    server.app.services.pricer.replace(PriceCatalog::new(vec![Arc::new(book)]));
    assert_eq!(counts(&apply(&server).await), [1, 0, 1, 0, 0]);
    server.at("2026-02-01T00:00:00Z");
    let reply = apply(&server).await;
    assert_eq!((counts(&reply), &reply["rows"][0]["day"]), ([1, 1, 0, 0, 0], &json!("2026-01-23")));
    assert_eq!(stored(&server, "chat", &request_id(1)).await.cost, PicoUsd::new(1_500_000_000));
}

#[tokio::test]
async fn a_cost_the_client_gave_stays_and_its_drift_appears() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    let body = with(usage(&request_id(1), "house"), json!({"cost_usd_micros": 5000}));
    chat.post("/costs", &body).await.ok(202);
    let house = async || chat.today().await["models"]["house"].clone();
    assert_eq!(
        (&house().await["cost_usd_micros"], &house().await["cost_drift_usd_micros"]),
        (&json!(5000), &Value::Null)
    );
    publish(&server, 1_000_000, 500_000);
    let reply = apply(&server).await;
    assert_eq!(counts(&reply), [1, 1, 0, 0, 0]);
    assert_eq!(
        reply["totals"],
        json!({
            "records": 1, "old_cost_usd_micros": 5000, "new_cost_usd_micros": 5000, "difference_usd_micros": 0,
            "old_unpriced_requests": 0, "new_unpriced_requests": 0, "drift_difference_usd_micros": 3100,
        })
    );
    let after = house().await;
    assert_eq!((&after["cost_usd_micros"], &after["cost_drift_usd_micros"]), (&json!(5000), &json!(3100)));
    assert_eq!(counts(&apply(&server).await), [0; 5]);
}

#[tokio::test]
async fn a_walk_by_cursor_meets_every_record_once_also_while_it_corrects_them() {
    let server = server().await;
    let org = server.org(houses()).await;
    let [chat, mail] = [org.app("chat", json!({})).await, org.app("mail", json!({})).await];
    for n in 0..7 {
        let body =
            with(usage(&request_id(n), "house"), json!({"timestamp": format!("2026-01-2{}T12:00:00Z", 2 + n % 2)}));
        [&chat, &mail][n as usize % 2].post("/usage", &body).await.ok(202);
    }
    publish(&server, 1_000_000, 500_000);
    for dry_run in [true, false] {
        let mut cursor = Value::Null;
        let mut records = Vec::new();
        loop {
            let mut body = json!({"dry_run": dry_run, "limit": 2, "org_id": ORG});
            if !cursor.is_null() {
                body["cursor"] = cursor;
            }
            let reply = reprice(&server, body).await.ok(200);
            records.push(reply["changed"].as_u64().unwrap());
            cursor = reply["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(records, [2, 2, 2, 1], "dry run: {dry_run}");
    }
    assert_eq!(counts(&apply(&server).await), [0; 5]);
    // Four on the 22nd, three today.
    assert_eq!(spent(&org).await, [json!(3 * 1900), json!(0), json!(7 * 1900)]);
}

#[tokio::test]
async fn a_filter_reprices_nobody_else() {
    let server = server().await;
    let org = server.org(houses()).await;
    let [chat, mail] = [org.app("chat", json!({})).await, org.app("mail", json!({})).await];
    let other = server.org_named(OTHER_ORG, houses()).await.app("chat", json!({})).await;
    for (n, app) in (0..).zip([&chat, &mail, &other]) {
        app.post("/usage", &usage(&request_id(n), "house")).await.ok(202);
        let earlier = with(usage(&request_id(n + 10), "house"), json!({"timestamp": "2026-01-22T12:00:00Z"}));
        app.post("/usage", &earlier).await.ok(202);
    }
    publish(&server, 1_000_000, 500_000);
    for (filter, examined) in [
        (json!({}), 6),
        (json!({"org_id": ORG}), 4),
        (json!({"org_id": ORG.to_uppercase(), "app_id": "chat"}), 2),
        (json!({"org_id": ORG, "app_id": "nobody"}), 0),
        (json!({"from": "2026-01-23"}), 3),
        (json!({"to": "2026-01-22", "org_id": OTHER_ORG}), 1),
        (json!({"from": "2026-01-22", "to": "2026-01-22", "org_id": ORG, "app_id": "mail"}), 1),
        (json!({"from": "2026-01-24"}), 0),
    ] {
        let reply = reprice(&server, filter.clone()).await.ok(200);
        assert_eq!(counts(&reply)[0], examined, "{filter}");
    }
    reprice(&server, json!({"org_id": ORG, "app_id": "chat", "from": "2026-01-23", "dry_run": false})).await.ok(200);
    assert_eq!(spent(&chat).await, [json!(1900), json!(0), json!(1900)]);
    for untouched in [&mail, &other] {
        assert_eq!(spent(untouched).await, [json!(0), json!(1), json!(0)]);
    }
}

#[tokio::test]
async fn a_request_with_a_mistake_names_it_and_changes_nothing() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    chat.post("/usage", &usage(&request_id(1), "house")).await.ok(202);
    publish(&server, 1_000_000, 500_000);
    let cursor = reprice(&server, json!({"limit": 1})).await.ok(200)["next_cursor"].clone();
    assert_eq!(cursor, Value::Null, "one record is one page");
    chat.post("/usage", &usage(&request_id(2), "house")).await.ok(202);
    for (change, field) in [
        (json!({"org_id": "acme"}), "org_id"),
        (json!({"app_id": "chat"}), "app_id"),
        (json!({"org_id": ORG, "app_id": "-"}), "app_id"),
        (json!({"from": "2026-1-1"}), "from"),
        (json!({"to": "2026-02-30"}), "to"),
        (json!({"from": "2026-01-02", "to": "2026-01-01"}), "from"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 2001}), "limit"),
        (json!({"limit": "2"}), "limit"),
        (json!({"cursor": "x"}), "cursor"),
        (json!({"dry_run": "no"}), "dry_run"),
        (json!({"dryrun": false}), "dryrun"),
        (json!({"apply": true}), "apply"),
    ] {
        let body = if change.get("dry_run").is_some() { change } else { with(change, json!({"dry_run": false})) };
        reprice(&server, body).await.refuses("INVALID_REQUEST", field);
    }
    // A cursor of another organization's walk.
    chat.post("/usage", &with(usage(&request_id(3), "house"), json!({"service_tier": "priority"}))).await.ok(202);
    let foreign = reprice(&server, json!({"limit": 1, "org_id": ORG})).await.ok(200)["next_cursor"].clone();
    reprice(&server, json!({"org_id": OTHER_ORG, "cursor": foreign})).await.refuses("INVALID_REQUEST", "cursor");
    server.post("/api/v1/reprice").admin().await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    server.post("/api/v1/reprice").bearer(&chat.token).json(&json!({})).await.error(403, "FORBIDDEN");
    assert_eq!(spent(&chat).await[1], 1, "nothing was repriced");
}

#[tokio::test]
async fn a_run_that_was_interrupted_is_completed_by_repeating_it() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    for n in 0..6_u32 {
        let call = |id: u32| usage(&request_id(id), "house");
        let requests: Vec<_> = (n * 100..n * 100 + 100).map(call).collect();
        chat.post("/usage/batch", &json!({"requests": requests})).await.ok(207);
    }
    publish(&server, 1_000_000, 500_000);
    server.store.fail_next_record(Fault::Unavailable);
    reprice(&server, json!({"dry_run": false})).await.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(spent(&chat).await[1], 600, "nothing was committed");
    server.store.fail_next_record(Fault::AnswerLost);
    reprice(&server, json!({"dry_run": false})).await.error(503, "SERVICE_UNAVAILABLE");
    let step = u64::try_from(server.store.ingest_limits().max_batch.min(250)).unwrap();
    assert_eq!(
        spent(&chat).await,
        [json!(step * 1900), json!(600 - step), json!(step * 1900)],
        "one step was committed"
    );
    let some = reprice(&server, json!({"dry_run": false, "limit": 100})).await.ok(200);
    assert_eq!(counts(&some), [100, 100, 0, 0, 0]);
    let rest = apply(&server).await;
    assert_eq!((counts(&rest), &rest["next_cursor"]), ([500 - step, 500 - step, 0, 0, 0], &Value::Null));
    assert_eq!(spent(&chat).await, [json!(600 * 1900), json!(0), json!(600 * 1900)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_and_repricing_at_the_same_time_lose_nothing() {
    let server = server().await;
    let chat = server.chat(houses()).await;
    for n in 0..50 {
        chat.post("/usage", &usage(&request_id(n), "house")).await.ok(202);
    }
    let submit = async {
        for n in 50..200 {
            let body = match n % 3 {
                0 => with(cost(&request_id(n), "house", 7), json!({"input_tokens": 3})),
                _ => usage(&request_id(n), "house"),
            };
            let path = if n % 3 == 0 { "/costs" } else { "/usage" };
            chat.post(path, &body).await.ok(202);
            if n == 100 {
                publish(&server, 1_234_567, 500_001);
            }
        }
    };
    // Four administrators at once, each over and over.
    let correct = join_all((0..4).map(|_| async {
        for _ in 0..20 {
            reprice(&server, json!({"dry_run": false, "limit": 40})).await.ok(200);
        }
    }));
    join(submit, correct).await;
    apply(&server).await;
    let mut house = Counters::default();
    for n in 0..200 {
        let record = stored(&server, "chat", &request_id(n)).await;
        assert_eq!(record.pricing.status, PricingStatus::Priced);
        house = house.checked_add(&record.counters()).unwrap();
    }
    assert_eq!((house.requests, house.unpriced_requests), (200, 0));
    let (org_id, app_id) = (ORG.parse().unwrap(), "chat".parse().unwrap());
    let (label, day) = ("house".parse().unwrap(), "2026-01-23".parse().unwrap());
    let totals = server.store.label_totals(org_id, &app_id, &label, day).await.unwrap();
    for spend in [totals.app, totals.org] {
        assert_eq!((spend.day, spend.month), (house, house));
    }
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn a_profile_that_could_not_be_explained_at_the_time_is_priced_once_it_can() {
    use crate::support::bedrock::{Answer, Bedrock};
    let arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123def456";
    let bedrock = Bedrock::start(Answer::NotFound).await;
    let server = TestServer::with(|setup| bedrock.asked_by(setup, std::time::Duration::from_secs(8))).await;
    let chat = server.chat(json!({})).await;
    let profile = json!({"profile_label": "support", "inference_profile_arn": arn});
    chat.post("/inference-profiles", &profile).await.ok(201);
    let body = with(usage(&request_id(1), "support"), json!({"calling_region": "eu-central-1"}));
    let reply = chat.post("/usage", &body).await.ok(202);
    assert_eq!(reply["processing"]["pricing"]["status"], "UNPRICED");
    assert_eq!(counts(&apply(&server).await), [1, 0, 1, 0, 0]);
    bedrock.answers(Answer::Models(vec!["eu-central-1", "eu-west-1"]));
    server.at("2026-01-23T15:32:45Z");
    assert_eq!(counts(&apply(&server).await), [1, 1, 0, 0, 0]);
    let record = stored(&server, "chat", &request_id(1)).await;
    assert_eq!(record.pricing.model_id, "eu.amazon.nova-pro-v1:0");
    assert!(record.cost > PicoUsd::ZERO && !record.is_unpriced());
    let support = &chat.today().await["models"]["support"];
    assert_eq!(support["unpriced_requests"], 0);
    assert_eq!(support["cost_usd_micros"], record.cost.to_micros_half_up());
}
