//! The Pricing API's client: pages, retries, time-outs and answers that make no sense.

use std::time::{Duration, Instant};

use bedrock_cost_keeper::aws::price_list::FeedLimits;
use bedrock_cost_keeper::service::price_refresh::{FeedError, PriceFeed as _};

use super::fixtures::publication;
use super::imitation::{Misbehaviour, PricingApi};
use super::{feed, feed_with, limits};

#[tokio::test]
async fn every_product_of_every_service_code_is_fetched_page_by_page() {
    let api = PricingApi::serving(publication()).await;
    api.pages_of(17);
    let mut fetched = feed(&api).fetch().await.unwrap();
    let mut expected: Vec<_> = publication().into_values().flatten().collect();
    fetched.sort();
    expected.sort();
    assert_eq!(fetched, expected);
    let pages: usize = publication().values().map(|products| products.len().div_ceil(17)).sum();
    assert_eq!(api.requests(), pages);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_lasts_is_not() {
    let api = PricingApi::serving(publication()).await;
    api.next([Misbehaviour::Throttle, Misbehaviour::Fail]);
    assert_eq!(feed(&api).fetch().await.unwrap().len(), publication().values().map(Vec::len).sum::<usize>());
    api.always(Misbehaviour::Throttle);
    let before = api.requests();
    let error = feed(&api).fetch().await.unwrap_err();
    assert!(matches!(&error, FeedError::Unavailable(text) if text.contains("ThrottlingException")), "{error}");
    assert_eq!(api.requests() - before, 3, "bounded");
    api.always(Misbehaviour::Deny);
    let before = api.requests();
    let error = feed(&api).fetch().await.unwrap_err();
    assert!(matches!(&error, FeedError::Refused(text) if text.contains("pricing:GetProducts")), "{error}");
    assert_eq!(api.requests() - before, 1);
}

#[tokio::test]
async fn no_answer_and_half_an_answer_are_failures_in_bounded_time() {
    let api = PricingApi::serving(publication()).await;
    for misbehaviour in [Misbehaviour::Hang, Misbehaviour::Truncate, Misbehaviour::Fail] {
        api.always(misbehaviour.clone());
        let started = Instant::now();
        let error = feed(&api).fetch().await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(10), "{misbehaviour:?}");
        assert!(!error.to_string().contains("secret-of-a-test"), "{error}");
    }
    let patience =
        FeedLimits { page_timeout: Duration::from_secs(60), fetch_timeout: Duration::from_millis(300), ..limits() };
    api.always(Misbehaviour::Hang);
    let error = feed_with(&api.url, patience).fetch().await.unwrap_err();
    assert!(matches!(error, FeedError::Unavailable(_)), "{error}");
    let nobody = feed_with("http://127.0.0.1:1", limits()).fetch().await.unwrap_err();
    assert!(matches!(nobody, FeedError::Unavailable(_)), "{nobody}");
}

#[tokio::test]
async fn nonsense_is_a_failure() {
    let api = PricingApi::serving(publication()).await;
    for text in ["", "[]", "{\"PriceList\":", "{\"PriceList\":[{}]}", "{\"PriceList\":\"x\"}", "<html></html>"] {
        api.always(Misbehaviour::Say(text.to_owned()));
        let result = feed(&api).fetch().await;
        // An empty body is an empty answer to the SDK; that an empty publication is refused is tested where it is.
        assert!(result.as_ref().map_or(true, Vec::is_empty), "{text}: {result:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let api = PricingApi::serving(publication()).await;
    api.repeat_tokens();
    let error = feed(&api).fetch().await.unwrap_err();
    assert!(matches!(&error, FeedError::Nonsense(text) if text.contains("token")), "{error}");

    let api = PricingApi::serving(publication()).await;
    api.pages_of(1);
    api.never_end();
    let few = FeedLimits { max_pages: 7, ..limits() };
    let error = feed_with(&api.url, few).fetch().await.unwrap_err();
    assert!(matches!(&error, FeedError::Nonsense(text) if text.contains("7 pages")), "{error}");
    assert_eq!(api.requests(), 7);

    let small = FeedLimits { max_bytes: 1000, ..limits() };
    let error = feed_with(&api.url, small).fetch().await.unwrap_err();
    assert!(matches!(&error, FeedError::Nonsense(text) if text.contains("1000 bytes")), "{error}");
}
