//! The AWS Price List, from an imitation of its API to the prices of calls.

mod feed;
mod fixtures;
mod imitation;
mod process;
mod service;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_pricing::config::{Credentials, SharedCredentialsProvider};
use bedrock_cost_keeper::aws::price_list::{AwsPriceList, FeedLimits};
use bedrock_cost_keeper::config::AwsPricingConfig;

use imitation::PricingApi;

/// Short enough that a test can wait for what takes too long.
fn limits() -> FeedLimits {
    FeedLimits {
        connect_timeout: Duration::from_secs(2),
        page_timeout: Duration::from_millis(500),
        fetch_timeout: Duration::from_secs(20),
        attempts: 3,
        first_backoff: Duration::from_millis(1),
        max_pages: 50,
        max_bytes: 16 * 1024 * 1024,
    }
}

/// A feed that asks the imitation, with credentials that are given, not found.
fn feed_with(url: &str, limits: FeedLimits) -> AwsPriceList {
    let credentials = Credentials::new("AKIDTEST", "secret-of-a-test", None, None, "test");
    let base = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let config = AwsPricingConfig { enabled: true, endpoint_url: Some(url.to_owned()), ..AwsPricingConfig::default() };
    AwsPriceList::new(&base, &config, limits)
}

fn feed(api: &PricingApi) -> AwsPriceList {
    feed_with(&api.url, limits())
}
