//! Wiring: from configuration, secrets and a store to a service that can be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusHandle;
use uuid::Uuid;

use crate::api::{ApiSettings, ApiState, router};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::secrets::ResolvedSecrets;
use crate::domain::pricing::{PriceCatalog, SnapshotError, embedded};
use crate::ids::Random;
use crate::service::access::ProvisioningKeys;
use crate::service::consolidation::Consolidator;
use crate::service::ingest::Ingest;
use crate::service::price_refresh::{PriceFeed, PriceListState};
use crate::service::pricing::Pricer;
use crate::service::profiles::memo::{ProfileMemo, ProfileResolver};
use crate::service::tokens::TokenSigner;
use crate::service::{Lifetimes, Services};
use crate::storage::Storage;

/// What an application is made of besides its configuration.
#[derive(Debug)]
pub struct Parts {
    /// The store, open and migrated.
    pub storage: Arc<dyn Storage>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws randomness.
    pub random: Arc<dyn Random>,
    /// Renders metrics, where a recorder is installed.
    pub metrics: Option<PrometheusHandle>,
    /// Knows what is behind opaque inference profiles, where that is configured.
    pub profile_resolver: Option<Arc<dyn ProfileResolver>>,
}

/// Asks AWS what is behind opaque inference profiles, where the configuration says so.
#[must_use]
pub fn profile_resolver(config: &Config) -> Option<Arc<dyn ProfileResolver>> {
    #[cfg(feature = "aws")]
    if config.aws.bedrock.enabled {
        return Some(Arc::new(crate::aws::inference_profiles::BedrockProfiles::new(config.aws.bedrock.clone())));
    }
    // A build without AWS refuses a configuration that wants it.
    #[cfg(not(feature = "aws"))]
    let _ = config;
    None
}

/// The prices a service starts with, the most trusted source first.
///
/// # Errors
/// Only for overrides that contradict each other, which the configuration refuses, and for a broken embedded price
/// snapshot, which a test rules out.
pub fn price_catalog(config: &Config) -> Result<PriceCatalog, SnapshotError> {
    let overrides = config.pricing.override_book()?;
    Ok(PriceCatalog::new(vec![Arc::new(overrides), Arc::new(embedded()?)]))
}

/// The AWS Price List, where the configuration enables it. A build without the `aws` feature has none; its
/// configuration refuses to enable it.
pub async fn price_feed(config: &Config) -> Option<Arc<dyn PriceFeed>> {
    if !config.pricing.aws.enabled {
        return None;
    }
    #[cfg(feature = "aws")]
    return Some(Arc::new(crate::aws::price_list::AwsPriceList::from_environment(&config.pricing.aws).await));
    #[cfg(not(feature = "aws"))]
    None
}

/// The application: use cases and the HTTP layer over them.
#[derive(Debug)]
pub struct App {
    /// The use cases.
    pub services: Arc<Services>,
    state: ApiState,
}

impl App {
    /// Wires an application. Starts its ingest queue, so it needs a tokio runtime.
    ///
    /// # Errors
    /// Only for a broken embedded price snapshot, which a test rules out.
    pub fn new(config: &Config, secrets: &ResolvedSecrets, parts: Parts) -> Result<Self, SnapshotError> {
        let seconds = |duration: std::time::Duration| {
            SignedDuration::from_secs(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
        };
        let auth = &config.auth;
        let mut holder = [0; 16];
        // Without randomness two instances may take each other for themselves and both add up totals: harmless.
        let _ = parts.random.fill(&mut holder);
        let consolidator = Consolidator::new(
            Uuid::from_bytes(holder),
            Duration::from_secs(config.metering.consolidation_interval_secs),
        );
        let services = Arc::new(Services {
            ingest: Ingest::start(Arc::clone(&parts.storage), config.metering.queue_capacity),
            consolidator,
            storage: parts.storage,
            clock: parts.clock,
            random: parts.random,
            catalog: config.label_catalog(),
            pricer: Pricer::new(price_catalog(config)?, config.pricing.unknown_model_rates()),
            price_list: PriceListState::default(),
            profiles: ProfileMemo::new(parts.profile_resolver, config.aws.bedrock.timeout()),
            defaults: config.tenant_defaults(),
            lifetimes: Lifetimes {
                access_token: seconds(auth.access_token_ttl()),
                refresh_token: seconds(auth.refresh_token_ttl()),
                secret_retrieval: seconds(auth.secret_retrieval_ttl()),
            },
            signer: TokenSigner::new(&secrets.jwt_secret, &secrets.jwt_verification_secrets),
            provisioning_keys: ProvisioningKeys::new(&secrets.provisioning_keys),
        });
        let server = &config.server;
        let settings = ApiSettings {
            body_limit_bytes: server.body_limit_bytes,
            read_timeout: server.read_timeout(),
            request_timeout: server.request_timeout(),
            // Checked by the configuration; one that is no header value could never match an Origin either.
            cors_origins: server.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
            metrics_key: config.metrics.key.clone(),
            metrics_here: config.metrics.listen.is_none() || config.metrics.key.is_some(),
        };
        let state = ApiState {
            services: Arc::clone(&services),
            settings: Arc::new(settings),
            draining: Arc::new(AtomicBool::new(false)),
            metrics: parts.metrics,
        };
        Ok(Self { services, state })
    }

    /// The HTTP service.
    pub fn router(&self) -> Router {
        router(&self.state)
    }

    /// From now on `readyz` fails, so that no further traffic is sent here.
    pub fn start_draining(&self) {
        self.state.draining.store(true, Ordering::SeqCst);
    }

    /// Commits what is queued and closes the store. Call once requests have finished.
    pub async fn stop(&self) {
        self.services.ingest.drain().await;
        self.services.storage.close().await;
    }
}
