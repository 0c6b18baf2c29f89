//! PostgreSQL from the installed binaries.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};

use super::account::Account;
use super::{Guard, Signal, directory_with, fresh_directory_in_memory, on_a_free_port, path_directories, unique_word};

/// A superuser's URL of a server that is running already. Databases are created in it, and dropped again.
pub(crate) const URL_VARIABLE: &str = "COST_KEEPER_TEST_POSTGRES_URL";
/// Longest a start takes; a busy machine needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The server's superuser, who creates databases.
const SUPERUSER: &str = "postgres";
/// Who owns the databases: no superuser, as in production.
const OWNER: &str = "keeper";
/// Both have it. The server listens on 127.0.0.1 and lives as long as the tests.
const PASSWORD: &str = "keeper-test";
/// Settings of a server whose data nobody misses. A test opens a few pools, and as many tests run at once as there are
/// cores.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=400",
    "shared_buffers=64MB",
    "max_wal_size=256MB",
    // In the directory, so that it goes with it, however the server ended.
    "dynamic_shared_memory_type=mmap",
    // It would hold on to databases that are about to be dropped.
    "autovacuum=off",
];

/// A server of a test's own, which it may stop and start again.
pub(crate) struct PostgresServer {
    guard: Guard,
    port: u16,
}

impl PostgresServer {
    /// Starts a server with an empty database.
    pub(crate) fn start() -> Self {
        let server = Self::try_start().unwrap_or_else(|error| panic!("{error}"));
        Admin::of(server.superuser_url()).run_blocking(&create(OWNER, Some(OWNER)));
        server
    }

    fn try_start() -> Result<Self, String> {
        let programs = programs()?;
        on_a_free_port(|port| {
            let directory = fresh_directory_in_memory("postgres");
            let account = Account::for_a_server(directory.path())?;
            initialize(&programs, directory.path(), &account)?;
            let mut command = vec![
                programs.join("postgres").display().to_string(),
                "-D".to_owned(),
                directory.path().join("data").display().to_string(),
                "-p".to_owned(),
                port.to_string(),
            ];
            for setting in SETTINGS {
                command.extend(["-c".to_owned(), setting.to_owned()]);
            }
            command.extend(["-c".to_owned(), format!("unix_socket_directories={}", directory.path().display())]);
            let server = Self { guard: Guard::start(directory, Signal::Quit, &account.command(command)), port };
            server.wait_until_ready().map_err(|error| format!("PostgreSQL could not be started: {error}"))?;
            Admin::of(server.superuser_url()).run_blocking(&format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'"));
            Ok(server)
        })
    }

    /// The URL of its database, as the database's owner.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{OWNER}:{PASSWORD}@{}/{OWNER}", self.address())
    }

    /// The URL of the maintenance database, as a superuser.
    pub(crate) fn superuser_url(&self) -> String {
        format!("postgres://{SUPERUSER}:{PASSWORD}@{}/postgres", self.address())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// [`Signal::Int`] ends connections and stops in order, [`Signal::Quit`] stops at once.
    pub(crate) fn stop(&self, signal: Signal) {
        self.guard.stop(signal);
    }

    /// Starts it again on the same port and data, and waits until it answers.
    pub(crate) fn start_again(&self) {
        let begin = Instant::now();
        loop {
            self.guard.start_again();
            match self.wait_until_ready() {
                Ok(()) => return,
                // After a kill it ends at once as long as processes of its former life are there.
                Err(_) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => panic!("PostgreSQL could not be started again: {error}"),
            }
        }
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        // The first line is the process, the eighth its state; after a kill those of the former process are still there.
        let pid = self.guard.pid().to_string();
        let ready =
            |text: &str| text.lines().next() == Some(&pid) && text.lines().nth(7).map(str::trim) == Some("ready");
        let file = self.guard.directory().join("data/postmaster.pid");
        self.guard.wait_until(PATIENCE, || fs::read_to_string(&file).is_ok_and(|text| ready(&text)))
    }
}

/// The directory with `initdb` and `postgres`.
fn programs() -> Result<PathBuf, String> {
    let mut directories = path_directories();
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    let major = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    versions.sort_by_key(major);
    directories.extend(versions.into_iter().rev().map(|version| version.join("bin")));
    directories.push("/usr/local/bin".into());
    directory_with(&["initdb", "postgres"], directories).ok_or_else(|| {
        format!(
            "PostgreSQL's server programs (initdb, postgres) are in no directory of the PATH, nor in \
             /usr/lib/postgresql/*/bin or /usr/local/bin. Install the package postgresql, or run `scripts/test --prepare`, \
             which does; or name a running server in {URL_VARIABLE}"
        )
    })
}

/// Makes an empty cluster in `data`. Where the version can, its text is ordered as in English: the order of ids must not
/// depend on a server's locale.
fn initialize(programs: &Path, directory: &Path, account: &Account) -> Result<(), String> {
    let initdb = programs.join("initdb").display().to_string();
    let help = Command::new(&initdb).arg("--help").output().map_err(|error| format!("{initdb}: {error}"))?;
    let password_file = directory.join("password");
    fs::write(&password_file, PASSWORD).map_err(|error| format!("{}: {error}", password_file.display()))?;
    account.own(&password_file)?;
    let mut command = vec![initdb, "-D".to_owned(), directory.join("data").display().to_string()];
    command
        .extend(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"].map(str::to_owned));
    command.push(format!("--pwfile={}", password_file.display()));
    if String::from_utf8_lossy(&help.stdout).contains("--icu-locale") {
        command.extend(["--locale-provider=icu", "--icu-locale=en-US"].map(str::to_owned));
    }
    let command = account.command(command);
    let output = Command::new(&command[0])
        .args(&command[1..])
        .current_dir(directory)
        .output()
        .map_err(|error| format!("initdb: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Creates a database.
fn create(name: &str, owner: Option<&str>) -> String {
    owner.map_or_else(|| format!("CREATE DATABASE {name}"), |owner| format!("CREATE DATABASE {name} OWNER {owner}"))
}

/// The server that all tests of this process share.
struct Shared {
    admin: Admin,
    /// `postgres://user:password@host:port` of who uses the databases, and what follows the database's name.
    url: (String, String),
    owner: Option<&'static str>,
    _server: Option<PostgresServer>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => {
            let parts =
                around_database(&url).ok_or_else(|| format!("{URL_VARIABLE} is no postgres://user@host URL"))?;
            Ok(Shared { admin: Admin::of(url), url: parts, owner: None, _server: None })
        }
        _ => {
            let server = PostgresServer::try_start()?;
            let url = around_database(&server.url()).expect("it is one");
            Ok(Shared { admin: Admin::of(server.superuser_url()), url, owner: Some(OWNER), _server: Some(server) })
        }
    });
    shared.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// What is before and after the name of the database in a URL.
fn around_database(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme))?;
    let (rest, query) = rest.split_once('?').map_or((rest, String::new()), |(rest, query)| (rest, format!("?{query}")));
    let authority = rest.split('/').next().filter(|authority| !authority.is_empty())?;
    Some((format!("{scheme}://{authority}"), query))
}

/// A database that nobody else uses. Dropped with its value, whoever is still connected.
pub(crate) struct FreshDatabase {
    name: String,
}

impl FreshDatabase {
    /// Creates it in the server that the tests share.
    pub(crate) async fn create() -> Self {
        let name = unique_word();
        let shared = shared();
        let plain = create(&name, shared.owner);
        // Copied as files it takes a quarter of the time. PostgreSQL 14 always does so and does not know the words.
        if shared.admin.run(format!("{plain} STRATEGY FILE_COPY")).await.is_err() {
            shared.admin.run(plain).await.unwrap_or_else(|error| panic!("{error}"));
        }
        Self { name }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let (before, after) = &shared().url;
        format!("{before}/{}{after}", self.name)
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        shared().admin.run_blocking(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Runs a superuser's statements one after another, on a thread and connection of its own: every test has its own
/// runtime, and a value that is dropped has none.
struct Admin {
    statements: mpsc::UnboundedSender<(String, oneshot::Sender<Result<(), String>>)>,
}

impl Admin {
    fn of(url: String) -> Self {
        let (statements, mut queue) = mpsc::unbounded_channel::<(String, oneshot::Sender<_>)>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = None;
                while let Some((sql, answer)) = queue.recv().await {
                    let _ = answer.send(execute(&mut connection, &url, sql).await);
                }
            });
        });
        Self { statements }
    }

    fn queue(&self, sql: String) -> oneshot::Receiver<Result<(), String>> {
        let (answer, answered) = oneshot::channel();
        self.statements.send((sql, answer)).expect("the thread lives as long as its queue");
        answered
    }

    async fn run(&self, sql: String) -> Result<(), String> {
        self.queue(sql).await.expect("every statement is answered")
    }

    /// For where nothing can be awaited. What went wrong is printed.
    #[allow(clippy::print_stderr, reason = "a test that fails already must not panic again")]
    fn run_blocking(&self, sql: &str) {
        let answered = self.queue(sql.to_owned());
        let waiting = std::thread::spawn(move || answered.blocking_recv());
        if let Ok(Ok(Err(error))) = waiting.join() {
            eprintln!("{error}");
        }
    }
}

async fn execute(connection: &mut Option<PgConnection>, url: &str, sql: String) -> Result<(), String> {
    let told = |error: sqlx::Error| format!("PostgreSQL for the tests: {error}");
    let mut open = match connection.take() {
        Some(open) => open,
        None => url.parse::<PgConnectOptions>().map_err(told)?.connect().await.map_err(told)?,
    };
    let result = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut open).await.map(|_| ()).map_err(told);
    match result {
        // A connection that failed may be of no more use.
        Err(_) => drop(open.close().await),
        Ok(()) => *connection = Some(open),
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect(url: &str) -> sqlx::Result<PgConnection> {
        url.parse::<PgConnectOptions>()?.connect().await
    }

    #[test]
    fn a_database_is_named_in_the_place_of_another() {
        for (url, before, after) in [
            ("postgres://u:p@h:1/db?sslmode=require", "postgres://u:p@h:1", "?sslmode=require"),
            ("postgresql://u@h", "postgresql://u@h", ""),
        ] {
            assert_eq!(around_database(url), Some((before.to_owned(), after.to_owned())));
        }
        assert_eq!(around_database("sqlite://x"), None);
        assert_eq!(around_database("postgres:///db"), None);
    }

    #[tokio::test]
    async fn a_fresh_database_is_its_owners_and_gone_with_its_value() {
        let database = FreshDatabase::create().await;
        let mut connection = connect(&database.url()).await.unwrap();
        sqlx::query("CREATE TABLE mine (x INT)").execute(&mut connection).await.unwrap();
        let url = database.url();
        drop(database);
        assert!(sqlx::query("SELECT 1").execute(&mut connection).await.is_err(), "connections are ended");
        assert!(connect(&url).await.is_err());
    }

    #[tokio::test]
    async fn a_server_keeps_its_data_and_port_however_it_is_stopped() {
        let server = PostgresServer::start();
        let mut connection = connect(&server.url()).await.unwrap();
        sqlx::query("CREATE TABLE mine (x INT)").execute(&mut connection).await.unwrap();
        for signal in [Signal::Int, Signal::Quit, Signal::Kill] {
            server.stop(signal);
            assert!(connect(&server.url()).await.is_err());
            server.start_again();
            let mut connection = connect(&server.url()).await.unwrap();
            sqlx::query("INSERT INTO mine VALUES (1)").execute(&mut connection).await.unwrap();
        }
        let mut connection = connect(&server.url()).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM mine").fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, 3);
    }
}
