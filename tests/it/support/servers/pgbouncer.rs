//! PgBouncer in front of the PostgreSQL server that the tests share.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::account::Account;
use super::{Guard, Signal, directory_with, fresh_directory, on_a_free_port, path_directories};

/// Longest a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a server connection is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PoolMode {
    /// For one transaction.
    Transaction,
    /// As long as the client is connected.
    Session,
}

/// A pooler for every database of one server.
pub(crate) struct PgBouncer {
    _guard: Guard,
    port: u16,
}

impl PgBouncer {
    /// The pooler all tests share that lends connections for one transaction, in front of the server of a database.
    pub(crate) fn shared(database_url: &str) -> &'static Self {
        static SHARED: OnceLock<PgBouncer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(database_url, PoolMode::Transaction))
    }

    /// Starts a pooler in front of the server of a database.
    pub(crate) fn start(database_url: &str, mode: PoolMode) -> Self {
        Self::try_start(database_url, mode).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(database_url: &str, mode: PoolMode) -> Result<Self, String> {
        let program = program()?;
        let server = reqwest::Url::parse(database_url).map_err(|error| error.to_string())?;
        let mode = match mode {
            PoolMode::Transaction => "transaction",
            PoolMode::Session => "session",
        };
        on_a_free_port(|port| {
            let directory = fresh_directory("pgbouncer");
            let account = Account::for_a_server(directory.path())?;
            let file = directory.path().join("pgbouncer.ini");
            // Few server connections: clients take turns on them, and none finds the one it had.
            let settings = format!(
                "[databases]\n* = host={} port={} user={} password={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 4\n\
                 max_client_conn = 500\n",
                server.host_str().unwrap_or_default(),
                server.port().unwrap_or(5432),
                server.username(),
                server.password().unwrap_or_default(),
            );
            fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))?;
            account.own(&file)?;
            let command = account.command(vec![program.display().to_string(), file.display().to_string()]);
            let guard = Guard::start(directory, Signal::Kill, &command);
            let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
            let ready = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
            guard.wait_until(PATIENCE, ready).map_err(|error| format!("PgBouncer could not be started: {error}"))?;
            Ok(Self { _guard: guard, port })
        })
    }

    /// The URL of a database of its server, through it.
    pub(crate) fn url(&self, database_url: &str) -> String {
        let mut url = reqwest::Url::parse(database_url).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(self.port)).expect("a port");
        url.into()
    }
}

fn program() -> Result<PathBuf, String> {
    let directories = path_directories().into_iter().chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directory_with(&["pgbouncer"], directories).map(|directory| directory.join("pgbouncer")).ok_or_else(|| {
        "pgbouncer is in no directory of the PATH, nor in /usr/sbin. Install the package pgbouncer, or run \
         `scripts/test --prepare`, which does"
            .to_owned()
    })
}
