//! The child process: the service as the binary wires it, with two routes that do nothing.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use bedrock_cost_keeper::api::auth::API_KEY_HEADER;
use bedrock_cost_keeper::api::extract::Json;
use bedrock_cost_keeper::api::usage_request::{SubmissionBody as _, UsageRequest};
use bedrock_cost_keeper::api::{ApiResult, ApiState};
use bedrock_cost_keeper::app::{App, Parts};
use bedrock_cost_keeper::clock::SystemClock;
use bedrock_cost_keeper::config::{Config, Sources, secrets};
use bedrock_cost_keeper::ids::SystemRng;
use bedrock_cost_keeper::jobs::consolidation;
use bedrock_cost_keeper::server::{Endpoint, ServerLimits, serve};
use bedrock_cost_keeper::service::access::{SelectionAccess, UsageAccess};
use bedrock_cost_keeper::storage::{CacheLifetimes, CachedStorage, Storage, open};
use bedrock_cost_keeper::telemetry::{self, logging};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// First argument of the child process.
pub(crate) const ROLE: &str = "serve";
/// What it says once it listens, followed by its address.
pub(crate) const READY: &str = "listening on ";
/// What authenticates the provisioning of the benchmark's tenants.
pub(crate) const PROVISIONING_KEY: (&str, &str) = (API_KEY_HEADER, "Load-4-the-benchmark-alone");

/// Verifies the token and the path, as a model selection does.
async fn noop_read(_access: SelectionAccess) -> StatusCode {
    StatusCode::OK
}

/// Verifies the token and the path and understands the body, as a submission does.
async fn noop_write(
    State(_state): State<ApiState>,
    _access: UsageAccess,
    Json(body): Json<UsageRequest>,
) -> ApiResult<StatusCode> {
    black_box(body.into_submission()?);
    Ok(StatusCode::ACCEPTED)
}

/// Serves until standard input ends, which it does with the parent.
pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    // Its directory has a configuration file of the benchmark's.
    let config = Config::load(&Sources::from_process(None, std::collections::BTreeMap::new())).unwrap().config;
    logging::init(config.log.format, &config.log.level).unwrap();
    let storage = open::open(config.storage.url.expose(), &config.storage.options(&config.retention)).await.unwrap();
    storage.migrate().await.unwrap();
    let storage: Arc<dyn Storage> = if config.storage.url.is_sqlite() {
        storage
    } else {
        Arc::new(CachedStorage::over(storage, CacheLifetimes::default()))
    };
    let random = Arc::new(SystemRng::new());
    let secrets = secrets::resolve(&config, random.as_ref()).unwrap();
    let metrics = telemetry::metrics::install().unwrap();
    let parts = Parts {
        storage,
        clock: Arc::new(SystemClock),
        random,
        metrics: Some(metrics.clone()),
        profile_resolver: None,
        key_source: None,
    };
    let app = App::new(&config, &secrets, parts).unwrap();
    let noop = "/api/v1/orgs/{org_id}/apps/{app_id}/noop";
    let router = app.router_with(Router::new().route(noop, get(noop_read).post(noop_write)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (services, stopping) = (Arc::clone(&app.services), stop.clone());
    let adding_up = tokio::spawn(async move { consolidation::run(&services, stopping).await });
    let limits = ServerLimits {
        client_timeout: config.server.read_timeout(),
        drain_timeout: Duration::from_secs(10),
        max_connections: config.server.max_connections,
    };
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.run_upkeep();
        }
    });
    println!("{READY}{address}");
    std::io::stdout().flush().unwrap();
    let serving = tokio::spawn(serve(listener, Endpoint::new(router), limits, stop.clone()));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    stop.cancel();
    serving.await.unwrap();
    app.stop().await;
    adding_up.await.unwrap();
    upkeep.abort();
}
