//! The price list in the service: what is in force, after success, failure, restarts and on other instances.

use std::sync::Arc;
use std::time::Duration;

use bedrock_cost_keeper::domain::pricing::{PriceSource, Rates, ServiceTier};
use bedrock_cost_keeper::jobs::price_refresh::{Schedule, run};
use bedrock_cost_keeper::service::price_refresh::{
    FeedError, PriceFeed, RefreshError, RefreshPolicy, Refreshed, load, refresh,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixtures::{PUBLISHED, Products, later, publication};
use super::imitation::{Misbehaviour, PricingApi};
use super::{feed, feed_with, limits};
use crate::support::faulty::Fault;
use crate::support::server::{TestServer, request_id};
use crate::support::stores::{self, FreshStore};
use crate::support::tenants::usage;

const NEXT_DAY: &str = "2026-01-24T15:31:00Z";
const NEXT: &str = "2026-01-24T09:00:00Z";

fn policy() -> RefreshPolicy {
    RefreshPolicy::daily(30)
}

async fn refreshed(server: &TestServer, api: &PricingApi) -> Result<Refreshed, RefreshError> {
    refresh(&server.app.services, &feed(api), policy()).await
}

/// Standard price of a call and its source.
fn price(server: &TestServer, id: &str, region: Option<&str>) -> (Rates, PriceSource) {
    use bedrock_cost_keeper::domain::pricing::{Latency, PriceQuery};
    let services = &server.app.services;
    let query = PriceQuery {
        model_id: id,
        region,
        tier: ServiceTier::Default,
        latency: Latency::Standard,
        tokens: Default::default(),
        cache_ttl_assumed: false,
        at: services.now(),
    };
    let catalog = services.pricer.catalog();
    let found = catalog.resolve(&query, None).unwrap();
    assert!(!found.stand_ins().any(), "{id} is priced by a stand-in");
    (*found.rates, found.source)
}

fn nova_pro(server: &TestServer) -> (u64, PriceSource) {
    let (rates, source) = price(server, "amazon.nova-pro-v1:0", None);
    (rates.input.unwrap(), source)
}

async fn shown(server: &TestServer) -> serde_json::Value {
    server.get("/api/v1/models").admin().await.ok(200)["price_list"].clone()
}

#[tokio::test]
async fn the_check_figures_come_out() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(publication()).await;
    let Refreshed::Fetched(report) = refreshed(&server, &api).await.unwrap() else { panic!("not fetched") };
    assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    assert_eq!(report.unknown_names, ["Marvel 9"]);
    assert!(report.rows > 100);
    let sonnet = "anthropic.claude-sonnet-4-6";
    for (id, region, input, output) in [
        ("amazon.nova-pro-v1:0", None, 800_000, 3_200_000),
        ("us.amazon.nova-2-lite-v1:0", Some("us-west-2"), 330_000, 2_750_000),
        ("eu.amazon.nova-2-lite-v1:0", Some("eu-west-1"), 429_000, 3_597_000),
        ("global.amazon.nova-2-lite-v1:0", Some("eu-west-1"), 300_000, 2_500_000),
        ("amazon.nova-micro-v1:0", Some("us-east-1"), 35_000, 140_000),
        (&format!("global.{sonnet}"), None, 3_000_000, 15_000_000),
        (sonnet, Some("us-east-1"), 3_300_000, 16_500_000),
        (&format!("eu.{sonnet}"), Some("eu-central-1"), 3_300_000, 16_500_000),
        ("openai.gpt-5.6-sol", Some("us-west-2"), 4_400_000, 22_000_000),
        ("openai.gpt-oss-120b", None, 150_000, 600_000),
        ("anthropic.claude-opus-5-5", None, 4_400_000, 22_000_000),
    ] {
        let (rates, source) = price(&server, id, region);
        assert_eq!((rates.input, rates.output), (Some(input), Some(output)), "{id} in {region:?}");
        assert_eq!(source, PriceSource::PricingApi, "{id}");
    }
    assert_eq!(price(&server, sonnet, None).0.cache_write_1h, Some(6_600_000));
    assert_eq!(price(&server, "anthropic.claude-3-opus-20240229-v1:0", None).1, PriceSource::Embedded);
}

#[tokio::test]
async fn models_and_receipts_name_the_price_list_with_its_version_and_age() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    assert_eq!(shown(&server).await, json!(null), "none yet");
    let api = PricingApi::serving(publication()).await;
    refreshed(&server, &api).await.unwrap();
    server.at("2026-01-23T15:31:45Z");
    let list = shown(&server).await;
    assert_eq!(
        list,
        json!({
            "source": "PRICING_API", "version": PUBLISHED, "fetched_at": "2026-01-23T15:30:45Z", "age_secs": 60,
            "quarantined_models": [],
        })
    );
    let models = server.get("/api/v1/models").admin().await.ok(200);
    for model in models["models"].as_array().unwrap() {
        assert_eq!(model["pricing"]["source"], "PRICING_API", "{model}");
    }
    let receipt = chat.post("/usage", &usage(&request_id(1), "premium")).await.ok(202);
    assert_eq!(receipt["processing"]["cost_usd_micros"], 3760);
    let pricing = &receipt["processing"]["pricing"];
    assert_eq!((&pricing["source"], &pricing["version"]), (&json!("PRICING_API"), &json!(PUBLISHED)));
    assert_eq!(pricing["status"], "PRICED");
}

#[tokio::test]
async fn a_fresh_list_is_not_fetched_again_and_a_day_old_one_is() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(publication()).await;
    refreshed(&server, &api).await.unwrap();
    let requests = api.requests();
    assert!(matches!(refreshed(&server, &api).await, Ok(Refreshed::Fresh)));
    assert_eq!(api.requests(), requests);
    api.publish(later(NEXT, "\"Nova Pro\"", "0.0008000000", "0.0009000000"));
    server.at(NEXT_DAY);
    assert!(matches!(refreshed(&server, &api).await, Ok(Refreshed::Fetched(_))));
    assert_eq!(nova_pro(&server), (900_000, PriceSource::PricingApi));
}

#[tokio::test]
async fn whatever_goes_wrong_the_last_good_prices_stay() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(publication()).await;
    api.always(Misbehaviour::Deny);
    assert!(matches!(refreshed(&server, &api).await, Err(RefreshError::Feed(FeedError::Refused(_)))));
    assert_eq!(nova_pro(&server), (800_000, PriceSource::Embedded), "without any list the embedded prices count");
    api.always(None);
    refreshed(&server, &api).await.unwrap();
    let good = shown(&server).await["version"].clone();
    server.at(NEXT_DAY);
    for misbehaviour in [
        Misbehaviour::Throttle,
        Misbehaviour::Fail,
        Misbehaviour::Truncate,
        Misbehaviour::Hang,
        Misbehaviour::Say("{}".to_owned()),
        Misbehaviour::Say(r#"{"PriceList":["","null","{}","[[[["]}"#.to_owned()),
    ] {
        api.always(misbehaviour.clone());
        assert!(refreshed(&server, &api).await.is_err(), "{misbehaviour:?}");
        assert_eq!(nova_pro(&server), (800_000, PriceSource::PricingApi), "{misbehaviour:?}");
    }
    api.always(None);
    let only = |code: &str| publication().into_iter().filter(|(known, _)| known == code).collect::<Products>();
    let undated = later("no date", "", "", "");
    let old = later("2026-01-01T00:00:00Z", "none", "", "");
    let dear = later(NEXT, "Amazon Bedrock", "\"USD\":\"", "\"USD\":\"9");
    for (name, products) in [("old", old), ("undated", undated), ("dear", dear), ("half", only("AmazonBedrock"))] {
        api.publish(products);
        let error = refreshed(&server, &api).await.unwrap_err();
        assert_eq!(matches!(error, RefreshError::Refused(_)), name != "half", "{name}: {error}");
        assert_eq!(nova_pro(&server), (800_000, PriceSource::PricingApi), "{name}");
        assert_eq!(shown(&server).await["version"], good, "{name}");
    }
    server.store.fail_reads(Fault::Unavailable);
    assert!(matches!(refreshed(&server, &api).await, Err(RefreshError::Store(_))));
    server.store.fail_reads(None);
    assert_eq!(nova_pro(&server), (800_000, PriceSource::PricingApi));
}

#[tokio::test]
async fn a_jump_beyond_five_times_keeps_that_models_old_price_and_says_so() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(publication()).await;
    refreshed(&server, &api).await.unwrap();
    api.publish(later(NEXT, "\"Nova Pro\"", "0.0008000000", "0.0080000000"));
    server.at(NEXT_DAY);
    let Refreshed::Fetched(report) = refreshed(&server, &api).await.unwrap() else { panic!("not fetched") };
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(nova_pro(&server), (800_000, PriceSource::Cached));
    assert_eq!(price(&server, "amazon.nova-lite-v1:0", None).1, PriceSource::PricingApi);
    let list = shown(&server).await;
    assert_eq!((&list["version"], &list["quarantined_models"]), (&json!(NEXT), &json!(["amazon.nova-pro-v1:0"])));
    // The old price is reported with the version that published it.
    let models = server.get("/api/v1/models").admin().await.ok(200);
    let premium = models["models"].as_array().unwrap().iter().find(|model| model["label"] == "premium").unwrap();
    assert_eq!(premium["pricing"]["version"], PUBLISHED);
    // And once it is published as before, it is believed again.
    api.publish(later("2026-01-25T00:00:00Z", "none", "", ""));
    server.at("2026-01-25T16:00:00Z");
    refreshed(&server, &api).await.unwrap();
    assert_eq!(nova_pro(&server), (800_000, PriceSource::PricingApi));
    assert_eq!(shown(&server).await["quarantined_models"], json!([]));
}

#[tokio::test]
async fn after_a_restart_without_aws_the_stored_list_counts_up_to_its_greatest_age() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(later(PUBLISHED, "\"Nova Pro\"", "0.0008000000", "0.0009000000")).await;
    refreshed(&server, &api).await.unwrap();
    let data = server.stop().await;
    let server = TestServer::with(|setup| (setup.data, setup.seed) = (data, 2)).await;
    assert_eq!(nova_pro(&server), (800_000, PriceSource::Embedded), "off, nothing is loaded");
    load(&server.app.services, policy()).await.unwrap();
    assert_eq!(nova_pro(&server), (900_000, PriceSource::Cached));
    assert_eq!(shown(&server).await["source"], "CACHED");
    server.at("2026-02-20T00:00:00Z");
    let nobody = feed_with("http://127.0.0.1:1", limits());
    assert!(refresh(&server.app.services, &nobody, policy()).await.is_err());
    assert_eq!(nova_pro(&server), (900_000, PriceSource::Cached));
    server.at("2026-02-25T00:00:00Z");
    assert!(refresh(&server.app.services, &nobody, policy()).await.is_err());
    assert_eq!(nova_pro(&server), (800_000, PriceSource::Embedded), "too old");
    assert_eq!(shown(&server).await, json!(null));
}

#[tokio::test]
async fn two_instances_share_one_list() {
    let data = Arc::new(stores::of_the_api().await);
    let start = |data: Arc<FreshStore>, seed| TestServer::with(move |setup| (setup.data, setup.seed) = (data, seed));
    let (here, there) = (start(Arc::clone(&data), 1).await, start(data, 2).await);
    let api = PricingApi::serving(publication()).await;
    refreshed(&here, &api).await.unwrap();
    let requests = api.requests();
    assert!(matches!(refreshed(&there, &api).await, Ok(Refreshed::Loaded)));
    assert_eq!(api.requests(), requests, "the second instance asks the store, not AWS");
    assert_eq!(nova_pro(&there), (800_000, PriceSource::Cached));
    // Both find it old and fetch at once: one wins, both have the winner's.
    api.publish(later(NEXT, "\"Nova Pro\"", "0.0008000000", "0.0009000000"));
    here.at(NEXT_DAY);
    there.at("2026-01-24T15:32:00Z");
    let (one, other) = tokio::join!(refreshed(&here, &api), refreshed(&there, &api));
    let fetched = [one.unwrap(), other.unwrap()].iter().filter(|one| matches!(one, Refreshed::Fetched(_))).count();
    assert_eq!(fetched, 1);
    assert_eq!((nova_pro(&here).0, nova_pro(&there).0), (900_000, 900_000));
    assert_eq!(shown(&here).await["fetched_at"], shown(&there).await["fetched_at"]);
}

#[tokio::test]
async fn an_unreadable_stored_list_is_replaced() {
    use bedrock_cost_keeper::storage::{Prices as _, StoredPrices};
    let server = TestServer::start().await;
    let broken = StoredPrices {
        version: "x".to_owned(),
        fetched_at: server.app.services.now(),
        document: r#"{"schema":99}"#.to_owned(),
    };
    assert!(server.store.put_prices(&broken, None).await.unwrap());
    let api = PricingApi::serving(publication()).await;
    assert!(matches!(refreshed(&server, &api).await, Ok(Refreshed::Fetched(_))));
    assert_eq!(nova_pro(&server).1, PriceSource::PricingApi);
}

/// Never has anything.
#[derive(Debug)]
struct Broken;

#[async_trait::async_trait]
impl PriceFeed for Broken {
    async fn fetch(&self) -> Result<Vec<String>, FeedError> {
        Err(FeedError::Unavailable("never".to_owned()))
    }
}

#[tokio::test]
async fn the_job_refreshes_at_once_goes_on_after_failures_and_stops_when_told() {
    let server = TestServer::start().await;
    let api = PricingApi::serving(publication()).await;
    let schedule = Schedule { interval: Duration::from_millis(5), jitter: Duration::from_millis(5) };
    let stop = CancellationToken::new();
    let services = Arc::clone(&server.app.services);
    api.next(std::iter::repeat_n(Misbehaviour::Deny, 2));
    let (api_feed, stopping) = (feed(&api), stop.clone());
    let job = tokio::spawn(async move { run(&services, &api_feed, policy(), schedule, stopping).await });
    let in_force = async {
        while nova_pro(&server).1 != PriceSource::PricingApi {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), in_force).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), job).await.unwrap().unwrap();

    // In the middle of a fetch as well.
    let stop = CancellationToken::new();
    api.always(Misbehaviour::Hang);
    server.at(NEXT_DAY);
    let services = Arc::clone(&server.app.services);
    let (api_feed, stopping) = (feed(&api), stop.clone());
    let job = tokio::spawn(async move { run(&services, &api_feed, policy(), Schedule::default(), stopping).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), job).await.unwrap().unwrap();

    let stop = CancellationToken::new();
    stop.cancel();
    run(&server.app.services, &Broken, policy(), Schedule::default(), stop).await;
}
