//! The AWS Price List through the Pricing API.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_pricing::Client;
use aws_sdk_pricing::config::retry::RetryConfig;
use aws_sdk_pricing::config::timeout::TimeoutConfig;
use aws_sdk_pricing::config::{Builder, Region};
use aws_sdk_pricing::error::SdkError;
use aws_sdk_pricing::operation::get_products::{GetProductsError, GetProductsOutput};

use crate::config::AwsPricingConfig;
use crate::service::price_refresh::{FeedError, PriceFeed};

/// Everything Bedrock charges is in these three.
const SERVICE_CODES: [&str; 3] = ["AmazonBedrock", "AmazonBedrockFoundationModels", "AmazonBedrockService"];
/// What the API admits.
const PAGE_SIZE: i32 = 100;
/// Longest error text that is passed on.
const MAX_ERROR_CHARS: usize = 400;
/// Codes that stay until somebody changes a permission or a setting.
const LASTING: [&str; 6] = [
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "InvalidClientTokenId",
    "NotFoundException",
    "InvalidParameterException",
];

/// What a fetch may take.
#[derive(Debug, Clone, Copy)]
pub struct FeedLimits {
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time one page may take, an attempt.
    pub page_timeout: Duration,
    /// Time of everything together.
    pub fetch_timeout: Duration,
    /// Attempts of one page.
    pub attempts: u32,
    /// First pause between attempts; it doubles.
    pub first_backoff: Duration,
    /// Most pages of one service code. All regions of Bedrock are some two hundred; an answer that pages on and on
    /// would otherwise keep this going for ever.
    pub max_pages: usize,
    /// Most bytes of all strings together, which are held at once.
    pub max_bytes: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            page_timeout: Duration::from_secs(20),
            fetch_timeout: Duration::from_secs(900),
            attempts: 4,
            first_backoff: Duration::from_millis(500),
            max_pages: 600,
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

/// The Pricing API as a price feed.
#[derive(Debug)]
pub struct AwsPriceList {
    client: Client,
    limits: FeedLimits,
}

impl AwsPriceList {
    /// With the credentials of the default chain: environment, profile, container, instance.
    pub async fn from_environment(config: &AwsPricingConfig) -> Self {
        let region = Region::new(config.region.clone());
        let base = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        Self::new(&base, config, FeedLimits::default())
    }

    /// With these credentials and limits.
    #[must_use]
    pub fn new(base: &SdkConfig, config: &AwsPricingConfig, limits: FeedLimits) -> Self {
        let retries =
            RetryConfig::standard().with_max_attempts(limits.attempts).with_initial_backoff(limits.first_backoff);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limits.connect_timeout)
            .operation_attempt_timeout(limits.page_timeout)
            .build();
        let mut builder = Builder::from(base)
            .region(Region::new(config.region.clone()))
            .retry_config(retries)
            .timeout_config(timeouts);
        if let Some(url) = &config.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        Self { client: Client::from_conf(builder.build()), limits }
    }

    async fn page(&self, code: &str, token: Option<String>) -> Result<GetProductsOutput, FeedError> {
        let request = self.client.get_products().service_code(code).format_version("aws_v1").max_results(PAGE_SIZE);
        request.set_next_token(token).send().await.map_err(|error| failure(code, &error))
    }

    async fn fetch_all(&self) -> Result<Vec<String>, FeedError> {
        let mut items = Vec::new();
        let mut bytes = 0;
        for code in SERVICE_CODES {
            self.fetch_code(code, &mut items, &mut bytes).await?;
        }
        Ok(items)
    }

    async fn fetch_code(&self, code: &str, items: &mut Vec<String>, bytes: &mut usize) -> Result<(), FeedError> {
        let mut token = None;
        for _ in 0..self.limits.max_pages {
            let output = self.page(code, token.clone()).await?;
            for item in output.price_list.unwrap_or_default() {
                *bytes += item.len();
                items.push(item);
            }
            if *bytes > self.limits.max_bytes {
                return Err(FeedError::Nonsense(format!("more than {} bytes", self.limits.max_bytes)));
            }
            match output.next_token.filter(|next| !next.is_empty()) {
                None => return Ok(()),
                next if next == token => return Err(FeedError::Nonsense(format!("{code} repeats a page token"))),
                next => token = next,
            }
        }
        Err(FeedError::Nonsense(format!("{code} has more than {} pages", self.limits.max_pages)))
    }
}

#[async_trait]
impl PriceFeed for AwsPriceList {
    async fn fetch(&self) -> Result<Vec<String>, FeedError> {
        let limit = self.limits.fetch_timeout;
        match tokio::time::timeout(limit, self.fetch_all()).await {
            Ok(result) => result,
            Err(_) => Err(FeedError::Unavailable(format!("not complete after {} seconds", limit.as_secs()))),
        }
    }
}

fn failure(code: &str, error: &SdkError<GetProductsError>) -> FeedError {
    let text = |text: String| format!("{code}: {}", text.chars().take(MAX_ERROR_CHARS).collect::<String>());
    match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let name = meta.code().unwrap_or("unknown error");
            let text = text(format!("{name}: {}", meta.message().unwrap_or("no message")));
            if LASTING.contains(&name) { FeedError::Refused(text) } else { FeedError::Unavailable(text) }
        }
        SdkError::ResponseError(_) => FeedError::Nonsense(text(chain(error))),
        _ => FeedError::Unavailable(text(chain(error))),
    }
}

/// The messages of an error and its causes. Not their debug form, which would quote whole answers.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
