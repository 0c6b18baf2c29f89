//! The whole service over a real store, served over real HTTP on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedrock_cost_keeper::app::{App, Parts};
use bedrock_cost_keeper::clock::ManualClock;
use bedrock_cost_keeper::config::secrets::ResolvedSecrets;
use bedrock_cost_keeper::config::{Config, LabelConfig, PricesConfig};
use bedrock_cost_keeper::domain::catalog::LabelKind;
use bedrock_cost_keeper::domain::signing_key::SigningKey;
use bedrock_cost_keeper::ids::SequenceRng;
use bedrock_cost_keeper::server::{ServerLimits, serve};
use bedrock_cost_keeper::service::key_refresh::KeySource;
use bedrock_cost_keeper::service::profiles::memo::ProfileResolver;
use bedrock_cost_keeper::storage::{Maintenance as _, StorageOptions, open};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{Call, Reply};
use super::faulty::FaultyStore;
use super::stores::{self, FreshStore};

/// What the clock shows at the start: 10:30:45 in New York.
pub(crate) const NOW: &str = "2026-01-23T15:30:45Z";
pub(crate) const ADMIN_KEY: &str = "test-provisioning-key-0123456789";
pub(crate) const JWT_SECRET: &str = "test-signing-secret-0123456789-abcdefgh";
/// ARN of the label [`Setup::profile_label`] adds.
pub(crate) const PROFILE_ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0";

/// What a server is made of; a test changes what it is about.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) secrets: ResolvedSecrets,
    pub(crate) metrics: Option<PrometheusHandle>,
    /// Knows what is behind opaque inference profiles.
    pub(crate) profile_resolver: Option<Arc<dyn ProfileResolver>>,
    /// Where keys are read again.
    pub(crate) key_source: Option<Arc<dyn KeySource>>,
    pub(crate) migrate: bool,
    /// The data; pass that of an earlier server to start on it, or that of a running one for a further instance.
    pub(crate) data: Arc<FreshStore>,
    pub(crate) storage_options: StorageOptions,
    /// Seed of the random sequence. Two lives of one store need different ones.
    pub(crate) seed: u64,
}

impl Setup {
    fn over(data: Arc<FreshStore>) -> Self {
        let provisioning_keys = vec![ADMIN_KEY.into(), "a-second-provisioning-key-123456".into()];
        let secrets = ResolvedSecrets::given(provisioning_keys, SigningKey::hs256(JWT_SECRET));
        let mut config = Config::default();
        // Most tests send in one instant what takes minutes in life.
        config.rate_limits.enabled = false;
        Self {
            config,
            secrets,
            metrics: Some(PrometheusBuilder::new().build_recorder().handle()),
            profile_resolver: None,
            key_source: None,
            migrate: true,
            data,
            storage_options: StorageOptions::default(),
            seed: 1,
        }
    }

    /// Adds a label to the catalog.
    pub(crate) fn label(&mut self, label: &str, bedrock_model_id: &str) -> &mut LabelConfig {
        let config = LabelConfig {
            kind: LabelKind::Model,
            bedrock_model_id: bedrock_model_id.to_owned(),
            description: format!("the {label} model"),
            prices: None,
        };
        self.config.labels.entry(label.parse().unwrap()).or_insert(config)
    }

    /// Adds a label with prices of its own, in pico-dollars per token.
    pub(crate) fn priced_label(&mut self, label: &str, input: u64, output: u64) {
        let prices = PricesConfig {
            input_usd_micros_per_1m: Some(input),
            output_usd_micros_per_1m: Some(output),
            ..PricesConfig::default()
        };
        self.label(label, "acme.house-model-v1:0").prices = Some(prices);
    }

    /// Adds the label `profile`, an inference profile.
    pub(crate) fn profile_label(&mut self) {
        self.label("profile", PROFILE_ARN).kind = LabelKind::Profile;
    }

    /// For days and months to pass without anybody logging in again.
    pub(crate) fn tokens_live_long(&mut self) {
        self.config.auth.access_token_ttl_secs = 400 * 86_400;
    }
}

/// A running service. Ends with this value.
pub(crate) struct TestServer {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) app: Arc<App>,
    data: Arc<FreshStore>,
    address: SocketAddr,
    http: reqwest::Client,
    request_ids: AtomicU32,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// On a store of the kind that the API is tested on, whose totals are always up to date.
    pub(crate) async fn with(configure: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::over(Arc::new(stores::of_the_api().await));
        configure(&mut setup);
        let store = FaultyStore::over_settled(setup.data.instance().await);
        Self::over(setup, store).await
    }

    /// On this store, as the binary opens it.
    pub(crate) async fn on(data: Arc<FreshStore>, configure: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::over(data);
        configure(&mut setup);
        let opened = open::open(setup.data.url(), &setup.storage_options).await.unwrap();
        Self::over(setup, FaultyStore::over(opened)).await
    }

    async fn over(setup: Setup, store: FaultyStore) -> Self {
        let store = Arc::new(store);
        if setup.migrate {
            store.migrate().await.unwrap();
        }
        let clock = Arc::new(ManualClock::at(NOW.parse().unwrap()));
        let parts = Parts {
            storage: store.clone(),
            clock: clock.clone(),
            random: Arc::new(SequenceRng::new(setup.seed << 32)),
            metrics: setup.metrics,
            profile_resolver: setup.profile_resolver,
            key_source: setup.key_source,
        };
        let app = Arc::new(App::new(&setup.config, &setup.secrets, parts).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let limits = ServerLimits {
            client_timeout: setup.config.server.read_timeout(),
            drain_timeout: Duration::from_secs(5),
            max_connections: setup.config.server.max_connections,
        };
        let serving = tokio::spawn(serve(listener, app.endpoint(), limits, stop.clone()));
        // No proxy of the environment, and no redirect followed unseen.
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self {
            clock,
            store,
            app,
            data: setup.data,
            address,
            http,
            request_ids: AtomicU32::new(0),
            stop,
            serving: Some(serving),
        }
    }

    /// Stops as the binary does: requests in flight finish, the queue is committed, the store is closed.
    pub(crate) async fn stop(mut self) -> Arc<FreshStore> {
        self.app.start_draining();
        self.stop.cancel();
        self.serving.take().unwrap().await.unwrap();
        self.app.stop().await;
        Arc::clone(&self.data)
    }

    pub(crate) fn at(&self, instant: &str) {
        self.clock.set(instant.parse().unwrap());
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Call(self.http.request(method, format!("http://{}{path}", self.address)))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.request("GET", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call {
        self.request("PUT", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.request("POST", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.request("DELETE", path)
    }

    /// The token endpoint.
    pub(crate) async fn token(&self, client_id: &str, client_secret: &str) -> Reply {
        let body = serde_json::json!({
            "grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret,
        });
        self.post("/auth/token").json(&body).await
    }

    /// A request id nobody used on this server.
    pub(crate) fn request_id(&self) -> String {
        request_id(self.request_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and answers everything the server says until it closes the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The n-th request id; far from those [`TestServer::request_id`] gives out when n is large.
pub(crate) fn request_id(n: u32) -> String {
    format!("00000000-0000-4000-8000-0000{n:08x}")
}
