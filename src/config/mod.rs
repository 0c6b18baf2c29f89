//! Configuration: built-in defaults < file < environment < command line, checked once at start.
//!
//! [`Config::load`] merges the layers with figment and either answers with a configuration every value of which is
//! valid, or refuses with all problems it found, each naming the key, its value (never a secret), what is expected
//! and where the value came from. What a key accepts is said once, in the table of its section ([`Key`]); reading,
//! messages and documentation follow it. Secrets redact themselves by type.

mod auth;
mod aws;
mod aws_pricing;
mod check;
mod defaults;
mod describe;
mod error;
mod file;
mod key;
mod labels;
mod layers;
mod load;
mod log;
mod metering;
mod metrics;
mod price_overrides;
mod pricing;
mod rate_limits;
mod retention;
mod schema;
mod secret_sources;
pub mod secrets;
mod server;
mod sources;
mod storage;
mod tls;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::catalog::LabelCatalog;
use crate::domain::tenant::TenantDefaults;

pub use auth::{
    AuthConfig, JWT_PRIVATE_KEY, JWT_SECRET, JWT_VERIFICATION_PUBLIC_KEYS, JWT_VERIFICATION_SECRETS, PROVISIONING_KEYS,
};
pub use aws::{AwsConfig, BedrockConfig, SecretsManagerConfig};
pub use aws_pricing::AwsPricingConfig;
pub use defaults::DefaultsConfig;
pub use describe::{Entry, Loaded};
pub use error::{ConfigError, Finding, Origin, Problem};
pub use key::{ENV_PREFIX, Key};
pub use labels::{LabelConfig, Labels, PricesConfig};
pub use log::{LogConfig, LogFormat};
pub use metering::MeteringConfig;
pub use metrics::{METRICS_KEY, MetricsConfig};
pub use pricing::{CeilingConfig, PricingConfig, UnknownModel};
pub use rate_limits::RateLimitsConfig;
pub use retention::RetentionConfig;
pub use schema::schema;
pub use secret_sources::{AwsSecretId, SecretSource, SecretSources};
pub use server::ServerConfig;
pub use sources::{FILE_NAMES, Sources};
pub use storage::{DynamoDbConfig, PostgresConfig, StorageConfig, StorageUrl};
pub use tls::{CERTIFICATE_FILE, PRIVATE_KEY_FILE, TlsConfig};

/// The whole configuration. [`Default`] is what a start without any source of configuration has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where and how the API is served.
    pub server: ServerConfig,
    /// Directory of the embedded store and of generated secrets; relative to the working directory.
    pub data_dir: PathBuf,
    /// Where data is kept.
    pub storage: StorageConfig,
    /// Keys and lifetimes.
    pub auth: AuthConfig,
    /// How many requests a caller may send.
    pub rate_limits: RateLimitsConfig,
    /// The label catalog.
    pub labels: Labels,
    /// What a tenant has where it sets nothing itself.
    pub defaults: DefaultsConfig,
    /// The queue between submissions and the store.
    pub metering: MeteringConfig,
    /// Pricing of models without a known price.
    pub pricing: PricingConfig,
    /// What is asked of AWS.
    pub aws: AwsConfig,
    /// How long data is kept.
    pub retention: RetentionConfig,
    /// Who may read metrics.
    pub metrics: MetricsConfig,
    /// Form and detail of the log.
    pub log: LogConfig,
    /// Where secrets are that are not in here until [`secrets::fetch`] has read them.
    #[serde(skip)]
    pub secret_sources: SecretSources,
}

impl Config {
    /// The label catalog as the domain takes it.
    #[must_use]
    pub fn label_catalog(&self) -> LabelCatalog {
        labels::catalog(&self.labels)
    }

    /// Defaults below every organization and application, as the domain takes them.
    #[must_use]
    pub fn tenant_defaults(&self) -> TenantDefaults {
        self.defaults.tenant_defaults(self.rate_limits.limits())
    }
}

impl Default for Config {
    fn default() -> Self {
        let data_dir = storage::default_data_dir();
        Self {
            server: ServerConfig::default(),
            storage: StorageConfig::in_dir(&data_dir),
            data_dir,
            auth: AuthConfig::default(),
            rate_limits: RateLimitsConfig::default(),
            labels: labels::default_labels(),
            defaults: DefaultsConfig::default(),
            metering: MeteringConfig::default(),
            pricing: PricingConfig::default(),
            aws: AwsConfig::default(),
            retention: RetentionConfig::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
            secret_sources: SecretSources::default(),
        }
    }
}

/// Every key there is, in the order of the documentation. A label is written `*` in a path. A key with a secret is
/// followed by those that say where the secret is instead.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    [
        server::KEYS,
        tls::KEYS,
        storage::DATA_DIR_KEYS,
        storage::KEYS,
        auth::KEYS,
        rate_limits::KEYS,
        labels::KEYS,
        defaults::KEYS,
        metering::KEYS,
        pricing::KEYS,
        aws_pricing::KEYS,
        aws::KEYS,
        retention::KEYS,
        metrics::KEYS,
        log::KEYS,
    ]
    .into_iter()
    .flatten()
    .flat_map(|key| std::iter::once(key).chain(secret_sources::beside(key.path())))
}
