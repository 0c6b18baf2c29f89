//! The store and its client.

use std::fmt;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};

use super::address::{Address, InvalidUrl};
use super::capacity::ConsumedCapacity;
use super::consolidation::ConsolidationMemory;
use super::tables::{Plan, Tables};
use super::watermark::Watermark;
use crate::storage::options::DynamoDbOptions;

/// Attempts of one call, the first included. With these pauses three repetitions take about a third of a second, which
/// outlasts a moved partition.
const MAX_ATTEMPTS: u32 = 4;
/// Pause before the first repetition; it doubles from there, with jitter.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Time to connect. Inside a region it takes a few milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A DynamoDB store: four tables of one region. Clones of the client share its connections.
pub struct DynamoDbStorage {
    pub(super) client: Client,
    pub(super) tables: Tables,
    pub(super) plan: Plan,
    pub(super) options: DynamoDbOptions,
    pub(super) watermark: Watermark,
    pub(super) capacity: ConsumedCapacity,
    pub(super) consolidation: ConsolidationMemory,
}

impl fmt::Debug for DynamoDbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStorage").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl DynamoDbStorage {
    /// Makes the client of the store that a URL names; `rest` is what follows `dynamodb://`. Calls nobody but, where
    /// the URL leaves it open, whoever may know region and credentials.
    ///
    /// # Errors
    /// [`InvalidUrl`], which says what to change.
    pub async fn open(rest: &str, options: &DynamoDbOptions) -> Result<Self, InvalidUrl> {
        let address = Address::parse(rest)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(MAX_ATTEMPTS)
                    .with_initial_backoff(INITIAL_BACKOFF)
                    .with_max_backoff(MAX_BACKOFF),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT.min(options.attempt_timeout))
                    .operation_attempt_timeout(options.attempt_timeout)
                    .operation_timeout(options.operation_timeout)
                    .build(),
            );
        if let Some(region) = address.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(pair) = address.credentials {
            let credentials = Credentials::new(pair.access_key, pair.secret, None, None, "storage.url");
            loader = loader.credentials_provider(credentials);
        }
        if let Some(endpoint) = address.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(InvalidUrl(
                "no region: add ?region=… to the URL, or set AWS_REGION or the region of the AWS profile".to_owned(),
            ));
        }
        let tables = Tables::new(&address.table_prefix);
        Ok(Self {
            client: Client::new(&config),
            plan: Plan { tables: tables.clone(), ttl: address.ttl, tags: options.tags.clone() },
            tables,
            options: options.clone(),
            watermark: Watermark::default(),
            capacity: ConsumedCapacity::default(),
            consolidation: ConsolidationMemory::default(),
        })
    }

    /// What the calls of this store have consumed.
    #[must_use]
    pub fn consumed_capacity(&self) -> &ConsumedCapacity {
        &self.capacity
    }

    /// Names of its tables.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}
