//! Wiring: from configuration, secrets and a store to a service that can be served.

mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusHandle;
use uuid::Uuid;

pub use self::keys::{ConfiguredKeys, secret_store};

use crate::api::router::router_with;
use crate::api::{ApiSettings, ApiState, middleware, router};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::secrets::ResolvedSecrets;
use crate::domain::pricing::{PriceCatalog, SnapshotError, embedded};
use crate::ids::Random;
use crate::server::{Endpoint, Rejections};
use crate::service::access::ProvisioningKeys;
use crate::service::audit::refusals::Refusals;
use crate::service::consolidation::Consolidator;
use crate::service::ingest::Ingest;
use crate::service::key_refresh::{EARLY_PAUSE, KeyRefresh, KeySource};
use crate::service::price_refresh::{PriceFeed, PriceListState};
use crate::service::pricing::Pricer;
use crate::service::profiles::memo::{ProfileMemo, ProfileResolver};
use crate::service::rate_limits::RateLimiter;
use crate::service::signing::TokenSigner;
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
    /// Reads keys again while the service runs, where they are kept outside the configuration.
    pub key_source: Option<Arc<dyn KeySource>>,
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
        let keys = keys::keys(secrets);
        let signer = Arc::new(TokenSigner::new(&keys.tokens));
        let provisioning_keys = Arc::new(ProvisioningKeys::new(&keys.provisioning));
        // Another instance may notice a change by up to two intervals later, and signs with the old key meanwhile.
        let last_token = auth.refresh_token_ttl().max(auth.access_token_ttl());
        let keep_replaced = seconds(last_token.saturating_add(Duration::from_secs(auth.secrets_refresh_secs) * 2));
        let key_refresh = parts.key_source.map(|source| {
            let (signer, provisioning_keys) = (Arc::clone(&signer), Arc::clone(&provisioning_keys));
            let clock = Arc::clone(&parts.clock);
            Arc::new(KeyRefresh::new(source, signer, provisioning_keys, clock, keep_replaced, EARLY_PAUSE))
        });
        let rate_limits = &config.rate_limits;
        let rate_limiter = rate_limits.enabled.then(|| {
            let (storage, clock) = (Arc::clone(&parts.storage), Arc::clone(&parts.clock));
            RateLimiter::new(rate_limits.limits(), rate_limits.failed_logins(), storage, clock)
        });
        let services = Arc::new(Services {
            rate_limiter,
            ingest: Ingest::start(Arc::clone(&parts.storage), config.metering.queue_capacity),
            refusals: Refusals::start(Arc::clone(&parts.storage), Arc::clone(&parts.clock), Arc::clone(&parts.random)),
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
            signer,
            provisioning_keys,
            key_refresh,
        });
        let server = &config.server;
        let settings = ApiSettings {
            body_limit_bytes: server.body_limit_bytes,
            read_timeout: server.read_timeout(),
            request_timeout: server.request_timeout(),
            trusted_proxies: server.trusted_networks(),
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

    /// The HTTP service with further, undocumented routes: for benchmarks.
    pub fn router_with(&self, further: Router<ApiState>) -> Router {
        router_with(&self.state, further)
    }

    /// The HTTP service, with errors of one form also for what is no request.
    pub fn endpoint(&self) -> Endpoint {
        let state = self.state.clone();
        Endpoint::new(self.router()).with_rejections(Rejections::new(move |status| middleware::reject(&state, status)))
    }

    /// From now on `readyz` fails, so that no further traffic is sent here.
    pub fn start_draining(&self) {
        self.state.draining.store(true, Ordering::SeqCst);
    }

    /// Commits and writes what is queued and closes the store. Call once requests have finished.
    pub async fn stop(&self) {
        self.services.ingest.drain().await;
        self.services.refusals.drain().await;
        self.services.storage.close().await;
    }
}
