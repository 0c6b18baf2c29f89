//! `serve`: start, say where everything is, serve, drain.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::signals::{StopSignal, StopSignals};
use super::{CommandError, CommandResult, open_store, resolve_secrets, tls, wire, with_secrets};
use crate::api::metrics::CONTENT_TYPE;
use crate::api::public;
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::secrets::{self, PROVISIONING_KEY_FILE, ResolvedSecrets, Which};
use crate::config::{Config, Loaded, LogFormat};
use crate::demo::sample;
use crate::jobs::consolidation;
use crate::jobs::price_refresh::{self, Schedule};
use crate::jobs::purge::{self, PurgePolicy};
use crate::jobs::secrets_refresh;
use crate::server::{ServerLimits, serve};
use crate::service::Services;
use crate::service::price_refresh::{RefreshPolicy, load};
use crate::storage::{CacheLifetimes, CachedStorage, Storage};
use crate::telemetry;

/// How often old samples of histograms are folded away, as the exporter asks for.
const METRICS_UPKEEP: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) async fn run(loaded: &Loaded, with_sample: bool) -> CommandResult {
    let started = Instant::now();
    // First of all: a stop that is asked for while starting must not kill the process in the middle.
    let mut signals = StopSignals::listen()?;
    // Before anything else is touched: a start with secrets that are missing or unfit must leave no trace.
    let config = &with_secrets(&loaded.config, Which::All).await?;
    secrets::check(config)?;
    let sqlite = config.storage.url.is_sqlite();
    if with_sample && !sqlite {
        return Err("--sample is for the embedded store only; unset storage.url".into());
    }
    if with_sample && config.log.format == LogFormat::Json {
        // A new client secret, shown to a person once, does not belong where the output of a container is collected.
        return Err(
            "--sample prints instructions and a client secret for a person; unset log.format, which is json".into()
        );
    }
    // Cheap to check, so before anything is opened.
    let tls = tls::open(config)?;
    // The store first: secrets are created only where there is one.
    let storage = open_store(config).await?;
    let secrets = resolve_secrets(config)?;
    if sqlite || config.storage.auto_migrate {
        storage.migrate().await?;
    }
    // One process alone reads SQLite in microseconds; what several share is worth a cache.
    let storage: Arc<dyn Storage> = match config.storage.cache && !sqlite {
        true => Arc::new(CachedStorage::over(storage, CacheLifetimes::default())),
        false => storage,
    };
    let metrics = telemetry::metrics::install()?;
    metrics::gauge!("service_info", "version" => public::VERSION, "store" => storage.backend()).set(1.0);
    let app = Arc::new(wire(config, &secrets, storage, Some(metrics.clone()))?);
    let sample = match with_sample {
        true => Some(sample::provision(&app.services).await?),
        false => None,
    };

    let listener = bind(config.server.listen, "server.listen").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let jobs = start_jobs(config, &app.services, &metrics, &stop).await?;
    if let Some(tls) = tls.clone() {
        let (interval, stopping) = (config.server.tls.reload_interval(), stop.clone());
        jobs.spawn(async move { tls.keep_current(interval, Arc::new(SystemClock), stopping).await });
    }
    let url = base_url(address, tls.is_some());
    let mut greeting = match config.log.format {
        LogFormat::Text => greeting(&url, config, &secrets, started)?,
        // Who reads JSON collects what a container prints, and has no use for prose.
        LogFormat::Json => ready_line(&url, config, &secrets, started),
    };
    if let Some(sample) = sample {
        writeln!(greeting, "{}", sample.instructions(&url, &key_expression(&secrets)))?;
    }
    // Whoever started the service may have stopped listening to it: that is no reason to stop serving.
    if let Err(error) = std::io::stdout().write_all(greeting.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        tracing::debug!(%error, "nobody reads the greeting");
    }

    let endpoint = app.endpoint().with_tls(tls);
    let serving = tokio::spawn(serve(listener, endpoint, limits(config), stop.clone()));
    let stopped_by = signals.next().await;
    tracing::info!("stopping: finishing requests in flight");
    app.start_draining();
    if stopped_by == StopSignal::Terminate {
        // Whoever balances load is told by `readyz` first, and finds nobody only afterwards. A person does not wait.
        tokio::select! {
            () = tokio::time::sleep(config.server.drain_delay()) => {}
            _ = signals.next() => {}
        }
    }
    stop.cancel();
    tokio::select! {
        finished = serving => finished?,
        // A second signal is somebody who does not want to wait.
        _ = signals.next() => return Err("stopped before requests in flight had finished".into()),
    }
    app.stop().await;
    jobs.wait().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address} ({key}): {error}; choose another with --set {key}=ADDRESS").into()
    })
}

async fn start_jobs(
    config: &Config,
    services: &Arc<crate::service::Services>,
    metrics: &PrometheusHandle,
    stop: &CancellationToken,
) -> Result<TaskTracker, CommandError> {
    let jobs = TaskTracker::new();
    let retention = &config.retention;
    let policy = PurgePolicy {
        usage_days: retention.usage_days,
        totals_days: retention.daily_totals_days,
        audit_days: retention.audit_days,
        interval: retention.purge_interval(),
        batch: retention.purge_batch,
    };
    keep_prices_fresh(config, services, &jobs, stop).await;
    let (purging, stopping) = (Arc::clone(services), stop.clone());
    jobs.spawn(async move { purge::run(&purging, policy, stopping).await });

    if let Some(interval) = config.auth.secrets_refresh() {
        let (reading, stopping) = (Arc::clone(services), stop.clone());
        jobs.spawn(async move { secrets_refresh::run(&reading, interval, stopping).await });
    }

    let (adding, stopping) = (Arc::clone(services), stop.clone());
    jobs.spawn(async move { consolidation::run(&adding, stopping).await });

    let (handle, stopping) = (metrics.clone(), stop.clone());
    jobs.spawn(async move {
        while tokio::time::timeout(METRICS_UPKEEP, stopping.cancelled()).await.is_err() {
            handle.run_upkeep();
        }
    });

    if let Some(address) = config.metrics.listen {
        let listener = bind(address, "metrics.listen").await?;
        let handle = metrics.clone();
        let page = get(move || async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], handle.render()) });
        // A probe here has connections of its own: an API whose connections are all taken is busy, not dead.
        let routes = Router::new().route("/metrics", page).route("/livez", get(public::get_livez));
        // Plain HTTP, also where the API has TLS: scrapers reach it over a private network.
        jobs.spawn(serve(listener, routes, limits(config), stop.clone()));
    }
    jobs.close();
    Ok(jobs)
}

async fn keep_prices_fresh(config: &Config, services: &Arc<Services>, jobs: &TaskTracker, stop: &CancellationToken) {
    let Some(feed) = app::price_feed(config).await else { return };
    let policy = RefreshPolicy::daily(config.pricing.aws.max_cache_age_days);
    // Before the first request: a restart must not price with older prices than before.
    if let Err(error) = load(services, policy).await {
        tracing::warn!(%error, "the stored price list could not be loaded");
    }
    let (services, stopping) = (Arc::clone(services), stop.clone());
    jobs.spawn(async move { price_refresh::run(&services, &*feed, policy, Schedule::default(), stopping).await });
}

fn limits(config: &Config) -> ServerLimits {
    ServerLimits {
        client_timeout: config.server.read_timeout(),
        drain_timeout: config.server.drain_timeout(),
        max_connections: config.server.max_connections,
    }
}

fn base_url(address: SocketAddr, tls: bool) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

/// How a shell gets the provisioning key without anybody printing it.
fn key_expression(secrets: &ResolvedSecrets) -> String {
    match &secrets.location {
        Some(directory) if Path::new(directory).join(PROVISIONING_KEY_FILE).exists() => {
            format!("$(cat '{}')", directory.join(PROVISIONING_KEY_FILE).display())
        }
        _ => "$COST_KEEPER_KEY".to_owned(),
    }
}

/// The greeting as one line in the form of the log.
fn ready_line(url: &str, config: &Config, secrets: &ResolvedSecrets, started: Instant) -> String {
    let location = secrets.location.as_ref().map(|directory| directory.display().to_string());
    let line = json!({
        "timestamp": SystemClock.now().to_string(),
        "level": "INFO",
        "message": format!("Bedrock Cost Keeper {} is ready", public::VERSION),
        "target": module_path!(),
        "api": format!("{url}/api/v1"),
        "store": config.storage.url.to_string(),
        // Where they are, never what they are.
        "secrets": location.as_deref().unwrap_or("configured"),
        "secrets_created": secrets.created,
        "started_in_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    format!("{line}\n")
}

fn greeting(
    url: &str,
    config: &Config,
    secrets: &ResolvedSecrets,
    started: Instant,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "Bedrock Cost Keeper {} is ready after {} ms", public::VERSION, started.elapsed().as_millis())?;
    writeln!(out, "  API       {url}/api/v1")?;
    writeln!(out, "  Docs      {url}/docs")?;
    writeln!(out, "  Store     {}", config.storage.url)?;
    if let Some(directory) = &secrets.location {
        let fresh = if secrets.created { "created now, " } else { "" };
        writeln!(out, "  Secrets   {} ({fresh}readable by you only)", directory.display())?;
    }
    let key = key_expression(secrets);
    writeln!(out)?;
    writeln!(out, "First call, in another terminal:")?;
    if key == "$COST_KEEPER_KEY" {
        writeln!(out, "  # COST_KEEPER_KEY: one of your auth.provisioning_keys")?;
    }
    writeln!(out, "  curl -sS -X PUT {url}/api/v1/orgs/550e8400-e29b-41d4-a716-446655440000 \\")?;
    writeln!(out, "    -H \"X-API-Key: {key}\" -H 'Content-Type: application/json' \\")?;
    writeln!(
        out,
        "    -d '{{\"org_name\":\"Acme\",\"timezone\":\"UTC\",\"quota_scope\":\"APP\",\"model_ordering\":[\"premium\",\"economy\"],\
         \"quotas\":{{\"premium\":10000000,\"economy\":1000000}},\"secret_delivery\":\"inline\"}}'"
    )?;
    writeln!(out)?;
    Ok(out)
}
