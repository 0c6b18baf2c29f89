//! What the demo plays on: the service on a store of its own, the imitation of Bedrock, and a clock both follow.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bedrock;
use crate::app::{App, Parts};
use crate::cli::CommandError;
use crate::clock::{Clock, ManualClock};
use crate::config::secrets::ResolvedSecrets;
use crate::config::{Config, StorageConfig};
use crate::domain::signing_key::SigningKey;
use crate::ids::{Random, SystemRng};
use crate::server::{ServerLimits, serve};
use crate::service::crypto::new_retrieval_token;
use crate::storage::open::open;

/// Nobody else is connected, so a stop need not wait long for anybody.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The running parts.
pub(super) struct Stage {
    /// The simulated time.
    pub(super) clock: Arc<ManualClock>,
    /// Base URL of the service.
    pub(super) api: String,
    /// Base URL of the imitation.
    pub(super) bedrock: String,
    /// The administrator's key.
    pub(super) key: SecretString,
    app: App,
    servers: TaskTracker,
    stop: CancellationToken,
    // Last, so that it is removed when nothing has a file open in it any more.
    _directory: ScratchDir,
}

impl Stage {
    /// Starts everything, with the clock at `now`.
    pub(super) async fn start(now: Timestamp) -> Result<Self, CommandError> {
        let random = SystemRng::new();
        let directory = ScratchDir::new(&random)?;
        let config =
            Config { data_dir: directory.0.clone(), storage: StorageConfig::in_dir(&directory.0), ..Config::default() };
        let key = new_retrieval_token(&random)?;
        let secrets = ResolvedSecrets::given(vec![key.clone()], SigningKey::Hs256(new_retrieval_token(&random)?));
        let storage = open(config.storage.url.expose(), &config.storage.options(&config.retention)).await?;
        storage.migrate().await?;
        let clock = Arc::new(ManualClock::at(now));
        let for_app: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let random = Arc::new(random);
        let parts = Parts { storage, clock: for_app, random, metrics: None, profile_resolver: None, key_source: None };
        let app = App::new(&config, &secrets, parts)?;

        let (servers, stop) = (TaskTracker::new(), CancellationToken::new());
        let limits = ServerLimits {
            client_timeout: config.server.read_timeout(),
            drain_timeout: DRAIN_TIMEOUT,
            max_connections: config.server.max_connections,
        };
        let start = async |router: Router| {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}", listener.local_addr()?);
            servers.spawn(serve(listener, router, limits, stop.clone()));
            Ok::<_, std::io::Error>(url)
        };
        let api = start(app.router()).await?;
        let bedrock = start(bedrock::router()).await?;
        servers.close();
        Ok(Self { clock, api, bedrock, key, app, servers, stop, _directory: directory })
    }

    /// Stops everything and removes the store.
    pub(super) async fn stop(self) {
        self.app.start_draining();
        self.stop.cancel();
        self.servers.wait().await;
        self.app.stop().await;
    }
}

/// A directory that is removed with its value.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn new(random: &dyn Random) -> Result<Self, CommandError> {
        let path = std::env::temp_dir().join(format!("cost-keeper-demo-{}", random.uuid()?));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot create {} for the demo's store: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What could not be removed lies where the system clears up by itself.
        let _ = std::fs::remove_dir_all(self.path());
    }
}
