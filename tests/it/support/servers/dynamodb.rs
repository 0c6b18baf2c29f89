//! Amazon's own DynamoDB Local.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::super::proxy::Proxy;
use super::{Guard, Signal, directory_with, fresh_directory, on_a_free_port, path_directories, unique_word};

/// The endpoint of a server that is running already, as `http://host:port`. Tables are created in it, and deleted again.
pub(crate) const ENDPOINT_VARIABLE: &str = "COST_KEEPER_TEST_DYNAMODB_ENDPOINT";
/// The directory with `DynamoDBLocal.jar`, where it is not the one `scripts/test` installs to.
pub(crate) const DIRECTORY_VARIABLE: &str = "COST_KEEPER_TEST_DYNAMODB_LOCAL";
/// Longest a start takes; a busy machine needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Each access key is a database of its own, with ten threads and one writer at a time. Tests take turns on this many,
/// each with its own tables: a database for every test would come to thousands of threads.
const DATABASES: u32 = 8;
const REGION: &str = "eu-central-1";

/// A server of a test's own, which it may stop and start again.
pub(crate) struct DynamoDbServer {
    guard: Guard,
    port: u16,
}

/// Where a server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// Gone when it stops.
    Memory,
    Files,
}

impl DynamoDbServer {
    /// Starts an empty server.
    pub(crate) fn start() -> Self {
        Self::try_start(Data::Files).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(data: Data) -> Result<Self, String> {
        let (java, programs) = (java()?, programs()?);
        on_a_free_port(|port| {
            let directory = fresh_directory("dynamodb");
            let mut command = vec!["env".to_owned()];
            command.extend(confining_library(directory.path())?.map(|library| format!("LD_PRELOAD={library}")));
            command.push(java.display().to_string());
            // Bounded, and quick to start: hundreds of small tables need little.
            command.extend(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned));
            command.push(format!("-Djava.library.path={}", programs.join("DynamoDBLocal_lib").display()));
            // Nothing of a test leaves this machine.
            command.extend(["-jar", &programs.join("DynamoDBLocal.jar").display().to_string()].map(str::to_owned));
            command.extend(["-disableTelemetry", "-port", &port.to_string()].map(str::to_owned));
            match data {
                Data::Memory => command.push("-inMemory".to_owned()),
                Data::Files => command.extend(["-dbPath".to_owned(), directory.path().display().to_string()]),
            }
            let server = Self { guard: Guard::start(directory, Signal::Kill, &command), port };
            server.wait_until_ready().map_err(|error| format!("DynamoDB Local could not be started: {error}"))?;
            Ok(server)
        })
    }

    /// The URL of a store in it. Its tables start with `t-`.
    pub(crate) fn url(&self) -> String {
        url(&format!("http://{}", self.address()), "keeper", "t-")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Stops it. In the middle of a transaction DynamoDB Local may keep one part of it, which DynamoDB never does.
    pub(crate) fn stop(&self) {
        self.guard.stop(Signal::Term);
    }

    /// Starts it again on the same port and data, and waits until it answers.
    pub(crate) fn start_again(&self) {
        self.guard.start_again();
        self.wait_until_ready().unwrap_or_else(|error| panic!("DynamoDB Local could not be started again: {error}"));
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let address = self.address();
        self.guard.wait_until(PATIENCE, || call(address, "ready", "ListTables", "{}").is_ok())
    }
}

/// The URL of a store. `access_key` chooses the database.
///
/// Without time to live: DynamoDB Local deletes what expired within a second, by the real clock, and tests have their own.
pub(crate) fn url(endpoint: &str, access_key: &str, table_prefix: &str) -> String {
    format!("dynamodb://{access_key}:secret@?region={REGION}&ttl=off&endpoint={endpoint}&table_prefix={table_prefix}")
}

/// Compiles what keeps the server on 127.0.0.1 and its clock in the past; `confined.c` says why. Whoever built the tests
/// has a C compiler. `None` where that is not known to work: what tests write may disappear there.
fn confining_library(directory: &Path) -> Result<Option<String>, String> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let (source, library) = (directory.join("confined.c"), directory.join("confined.so"));
    std::fs::write(&source, include_str!("confined.c")).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let output = compiler.output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() {
        return Ok(Some(library.display().to_string()));
    }
    Err(format!("{} does not compile: {}", source.display(), String::from_utf8_lossy(&output.stderr)))
}

fn java() -> Result<PathBuf, String> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin"));
    directory_with(&["java"], home.into_iter().chain(path_directories())).map(|bin| bin.join("java")).ok_or_else(|| {
        format!(
            "java is not in the PATH, and DynamoDB Local needs it. Install the package \
             default-jre-headless, or run `scripts/test --prepare`, which does; or name a running server in \
             {ENDPOINT_VARIABLE}"
        )
    })
}

/// The directory with DynamoDB Local.
fn programs() -> Result<PathBuf, String> {
    let directory = match std::env::var_os(DIRECTORY_VARIABLE) {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        // Beside the directory that cargo gives to tests, wherever the target directory is.
        _ => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("dynamodb-local"),
    };
    if directory.join("DynamoDBLocal.jar").is_file() {
        return Ok(directory);
    }
    Err(format!(
        "DynamoDB Local is not in {}. Run `scripts/test --prepare`, which installs it; or name its directory in \
         {DIRECTORY_VARIABLE}, or a running server in {ENDPOINT_VARIABLE}",
        directory.display()
    ))
}

/// The server that all tests of this process share.
struct Shared {
    address: SocketAddr,
    _server: Option<DynamoDbServer>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var(ENDPOINT_VARIABLE) {
        Ok(endpoint) if !endpoint.is_empty() => {
            let authority = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
            let server = authority.and_then(|authority| authority.to_socket_addrs().ok()?.next());
            let server = server.ok_or_else(|| format!("{ENDPOINT_VARIABLE} must be http://host:port"))?;
            Ok(Shared { address: deleting_nothing(server), _server: None })
        }
        _ => {
            let server = DynamoDbServer::try_start(Data::Memory)?;
            Ok(Shared { address: server.address(), _server: Some(server) })
        }
    });
    shared.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// A proxy, for the rest of this process, in front of a server whose clock is right: nobody gets to tell it what expires,
/// for it would delete what tests write at instants that have passed.
fn deleting_nothing(server: SocketAddr) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let proxy = Proxy::to(server).await;
            proxy.ignore("UpdateTimeToLive");
            tell.send(proxy.address()).expect("somebody waits for it");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the proxy starts")
}

/// Room for tables that nobody else uses. They are deleted with its value.
pub(crate) struct FreshTables {
    access_key: String,
    prefix: String,
}

impl FreshTables {
    /// Room in the server that the tests share.
    pub(crate) fn reserve() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static RESERVED: AtomicU32 = AtomicU32::new(0);
        shared();
        let database = RESERVED.fetch_add(1, Ordering::Relaxed) % DATABASES;
        Self { access_key: format!("keeper{database}"), prefix: format!("{}-", unique_word()) }
    }

    /// The URL of a store there.
    pub(crate) fn url(&self) -> String {
        url(&format!("http://{}", shared().address), &self.access_key, &self.prefix)
    }

    /// Their names.
    fn tables(&self) -> Result<Vec<String>, String> {
        // Names follow in order, so that one page after the prefix has them all.
        let after = serde_json::json!({ "ExclusiveStartTableName": self.prefix, "Limit": 20 });
        let answer = call(shared().address, &self.access_key, "ListTables", &after.to_string())?;
        let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let names = answer["TableNames"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        Ok(names.filter(|name| name.starts_with(&self.prefix)).map(str::to_owned).collect())
    }
}

impl Drop for FreshTables {
    #[allow(clippy::print_stderr, reason = "a test that fails already must not panic again")]
    fn drop(&mut self) {
        let delete = |table: String| {
            let body = serde_json::json!({ "TableName": table }).to_string();
            call(shared().address, &self.access_key, "DeleteTable", &body).map(drop)
        };
        if let Err(error) = self.tables().and_then(|tables| tables.into_iter().try_for_each(delete)) {
            eprintln!("tables of a test are left in DynamoDB Local: {error}");
        }
    }
}

/// One call without a client, for where nothing can be awaited. DynamoDB Local checks no signature.
fn call(address: SocketAddr, access_key: &str, operation: &str, body: &str) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{operation}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).map_err(told)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(told)?;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={access_key}/20260101/{REGION}/dynamodb/aws4_request, SignedHeaders=host, Signature=00\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(format!("{operation}: {}", answer.lines().next().unwrap_or("no answer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(address: SocketAddr, access_key: &str, table: &str) {
        let body = serde_json::json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        });
        call(address, access_key, "CreateTable", &body.to_string()).unwrap();
    }

    #[test]
    fn tables_are_gone_with_the_room_they_were_in_and_nobody_elses() {
        let [mine, others] = [FreshTables::reserve(), FreshTables::reserve()];
        let others = FreshTables { access_key: mine.access_key.clone(), prefix: others.prefix.clone() };
        for room in [&mine, &others] {
            for name in ["config", "usage"] {
                create(shared().address, &room.access_key, &format!("{}{name}", room.prefix));
            }
        }
        assert_eq!(mine.tables().unwrap().len(), 2);
        let same = FreshTables { access_key: mine.access_key.clone(), prefix: mine.prefix.clone() };
        drop(mine);
        assert_eq!(same.tables().unwrap().len(), 0);
        assert_eq!(others.tables().unwrap().len(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_expired_long_ago_by_our_clock_stays_and_nobody_else_can_connect() {
        let room = FreshTables::reserve();
        let (address, table) = (shared().address, format!("{}usage", room.prefix));
        create(address, &room.access_key, &table);
        let of = |operation, body: serde_json::Value| call(address, &room.access_key, operation, &body.to_string());
        let expiry = serde_json::json!({ "AttributeName": "expires", "Enabled": true });
        of("UpdateTimeToLive", serde_json::json!({ "TableName": table, "TimeToLiveSpecification": expiry })).unwrap();
        // 2026-02-01: younger than five years for longer than these tests will be run; older is never deleted.
        let item = serde_json::json!({ "pk": { "S": "x" }, "expires": { "N": "1769904000" } });
        of("PutItem", serde_json::json!({ "TableName": table, "Item": item })).unwrap();
        // It looks for what expired once a second.
        std::thread::sleep(Duration::from_millis(2_500));
        let key = serde_json::json!({ "pk": { "S": "x" } });
        let found = of("GetItem", serde_json::json!({ "TableName": table, "Key": key })).unwrap();
        assert!(found.contains("1769904000"), "{found}");
        let listening =
            std::fs::read_to_string("/proc/net/tcp6").unwrap() + &std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X} ", address.port());
        let local = listening
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .find(|a| format!("{a} ").ends_with(&port));
        assert!(local.is_some_and(|local| local.contains("0100007F:")), "{local:?}");
    }

    #[test]
    fn a_server_keeps_its_data_and_port_when_it_is_stopped() {
        let server = DynamoDbServer::start();
        create(server.address(), "keeper", "t-usage");
        server.stop();
        assert!(call(server.address(), "keeper", "ListTables", "{}").is_err());
        server.start_again();
        assert!(call(server.address(), "keeper", "ListTables", "{}").unwrap().contains("t-usage"));
    }
}
