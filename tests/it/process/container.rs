//! The binary as a container runs it: as somebody without rights, in a directory that nobody can write to, with no other
//! environment than its own, and ended by SIGTERM.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::{ORG, cost, provision, today};
use crate::support::process::{
    SERVICE_LINKS, Served, accepted, command, ended, heard, run, signal, stderr, stdout, wait_for,
};

/// Who the image runs as.
const IMAGE_USER: u32 = 65_532;
const KEY: &str = "b7d1f0a2c3e4958677f1";
const JWT_SECRET: &str = "d94c1b7fe0a35826917c4be2f05d83a6c7e1940b58f2a36d";

/// The binary on the file system of temporary directories, where links to it can be made: one copy for all tests, as it
/// is large. It is made by a process of its own. Written by this one, it would be open for writing in whatever another
/// test starts meanwhile, and could not be run.
struct Copied {
    binary: PathBuf,
    /// Removes the copy once the pipe is closed, which only this process holds: a static is never dropped.
    _shell: Child,
}

impl Copied {
    fn binary(built: &str) -> &'static Path {
        static COPIED: OnceLock<Copied> = OnceLock::new();
        &COPIED.get_or_init(|| Self::make(built)).binary
    }

    fn make(built: &str) -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        let binary = directory.join("bedrock-cost-keeper");
        let mut shell = Command::new("sh")
            .args(["-c", r#"cp -- "$1" "$2" && echo copied; read -r _; rm -rf "$3""#, "copy", built])
            .args([&binary, &directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C ends the tests; the pipe tells the shell.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "copied\n", "the binary cannot be copied to {}", directory.display());
        Self { binary, _shell: shell }
    }
}

/// A root file system that cannot be written to, with the binary in it, and a volume.
struct Container {
    dir: tempfile::TempDir,
    /// Whom the binary runs as: the image's user where tests run as root, whom no mode stops; else whoever tests.
    user: u32,
}

impl Container {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tester = fs::metadata(dir.path()).unwrap().uid();
        let container = Self { dir, user: if tester == 0 { IMAGE_USER } else { tester } };
        for place in [container.root(), container.data()] {
            fs::create_dir(&place).unwrap();
        }
        let built = env!("CARGO_BIN_EXE_bedrock-cost-keeper");
        // Where tests are built on another file system, or for somebody else, there are no links to what was built.
        if fs::hard_link(built, container.binary()).is_err() {
            fs::hard_link(Copied::binary(built), container.binary()).unwrap();
        }
        fs::set_permissions(container.dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(container.root(), Permissions::from_mode(0o555)).unwrap();
        container
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn binary(&self) -> PathBuf {
        self.dir.path().join("bedrock-cost-keeper")
    }

    /// Gives the volume to whom the binary runs as.
    fn own_data(self) -> Self {
        chown(self.data(), Some(self.user), Some(self.user))
            .or_else(|error| if self.user == IMAGE_USER { Err(error) } else { Ok(()) })
            .unwrap();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.binary());
        command.current_dir(self.root()).env_clear().stdin(Stdio::null()).args(args);
        command.env("COST_KEEPER_SERVER__LISTEN", "127.0.0.1:0").env("COST_KEEPER_DATA_DIR", self.data());
        if self.user == IMAGE_USER {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Everything that is in a directory, by name.
    fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn nothing_but_the_volume_is_written_and_sigterm_ends_it() {
    let container = Container::new().own_data();
    let client = reqwest::Client::new();
    let mut served = Served::spawn(container.command(&["serve"]).envs(SERVICE_LINKS.iter().copied()));
    let key = fs::read_to_string(container.data().join("secrets/provisioning-key")).unwrap();
    let token = provision(&client, &served.url, key.trim()).await;
    let url = format!("{}/api/v1/orgs/{ORG}/apps/chat/costs", served.url);
    let id = "00000000-0000-4000-8000-000000000001";
    let answer = client.post(&url).bearer_auth(&token).json(&cost(id, 5)).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(today(&client, &served, &token).await["models"]["premium"]["requests"], 1);
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    assert!(Container::names(&container.root()).is_empty(), "{:?}", Container::names(&container.root()));
    assert_eq!(Container::names(&container.data()), ["cost-keeper.db", "secrets"]);
}

#[test]
fn a_volume_of_somebody_else_is_named_with_who_wants_to_write() {
    let container = Container::new();
    // Not even root's own, where the tests run as somebody.
    fs::set_permissions(container.data(), Permissions::from_mode(0o555)).unwrap();
    let output = container.run(&["serve"]);
    let message = stderr(&output);
    let data = container.data();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let expected = format!("the database file {} cannot be created", data.join("cost-keeper.db").display());
    assert!(message.contains(&expected), "{message}");
    assert!(message.contains(&format!("this process is uid {}", container.user)), "{message}");
    assert!(
        message.contains(&format!("{} belongs to uid", data.display())) && message.contains("mode 555"),
        "{message}"
    );
    assert!(Container::names(&data).is_empty());
}

#[test]
fn a_database_that_cannot_be_written_is_named_with_who_wants_to() {
    let container = Container::new().own_data();
    assert!(container.run(&["migrate"]).status.success());
    // As a volume that was restored by hand, or mounted for reading.
    fs::set_permissions(container.data().join("cost-keeper.db"), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(container.data(), Permissions::from_mode(0o555)).unwrap();
    let message = stderr(&container.run(&["serve"]));
    assert!(message.contains("cost-keeper.db cannot be written: "), "{message}");
    assert!(message.contains(&format!("this process is uid {}", container.user)), "{message}");
    assert!(message.contains("mode 444") && message.contains("mode 555"), "{message}");
    fs::set_permissions(container.data(), Permissions::from_mode(0o755)).unwrap();
}

/// On a store elsewhere, nothing at all is written, from the migration on.
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
async fn writes_nothing(store: crate::support::stores::FreshStore) {
    let container = Container::new();
    let with_store = |args: &[&str]| {
        let mut command = container.command(args);
        command.env("COST_KEEPER_STORAGE__URL", store.url()).env("COST_KEEPER_DATA_DIR", "/nonexistent");
        command.env("COST_KEEPER_AUTH__JWT_SECRET", JWT_SECRET).env("COST_KEEPER_AUTH__PROVISIONING_KEYS", KEY);
        command
    };
    // Before the migration it is alive and not ready.
    let early = Served::spawn(&mut with_store(&["serve"]));
    assert_eq!(asked(&early, "/livez").0, 0);
    let (code, text) = asked(&early, "/readyz");
    assert!(code == 1 && text.contains("migrate"), "{text}");
    drop(early);
    let migrated = with_store(&["migrate"]).output().unwrap();
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    let client = reqwest::Client::new();
    let mut served = Served::spawn(&mut with_store(&["serve"]));
    assert_eq!(asked(&served, "/readyz").0, 0);
    provision(&client, &served.url, KEY).await;
    served.signal("TERM");
    assert_eq!(served.ended().code(), Some(0));
    assert!(Container::names(&container.root()).is_empty() && Container::names(&container.data()).is_empty());
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_nothing_is_written() {
    writes_nothing(crate::support::stores::postgres().await).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn on_dynamodb_nothing_is_written() {
    writes_nothing(crate::support::stores::dynamodb().await).await;
}

/// Exit code and words of `health`, as a probe runs it.
fn asked(served: &Served, path: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["health", "--url", &format!("{}{path}", served.url)]);
    (output.status.code().unwrap(), stdout(&output))
}

#[test]
fn health_ends_with_0_or_1_for_each_probe() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--set", "server.drain_delay_secs=60"]);
    for path in ["/livez", "/readyz", "/health"] {
        assert_eq!(asked(&served, path).0, 0, "{path}");
    }
    assert_eq!(asked(&served, "/nothing").0, 1);
    served.signal("TERM");
    // Alive until it is gone, but no longer for new requests.
    wait_for("it is not ready", || (asked(&served, "/readyz").0 == 1).then_some(()));
    assert_eq!(asked(&served, "/livez").0, 0);
}

#[test]
fn a_command_ends_by_a_signal_also_as_the_first_process_of_a_container() {
    // There the system does not end it: the code says that the process did, where any other is killed by the signal.
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        // It waits for an answer that never comes.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/livez", silent.local_addr().unwrap());
        let mut child = command(dir.path()).args(["health", "--url", &url]).stdout(Stdio::null()).spawn().unwrap();
        let _asking = accepted(&silent);
        signal(&child, name);
        let status = ended(&mut child);
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
}

/// The greeting of a service whose log is JSON, and whatever else it printed.
fn greeting(dir: &Path, env: &[(&str, &str)]) -> (Value, String) {
    let mut child = command(dir)
        .args(["serve", "--listen", "127.0.0.1:0", "--set", "log.format=json"])
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (line, mut output) = heard(&mut child, |output| {
        let mut line = String::new();
        output.read_line(&mut line).map(|_| line)
    });
    child.kill().unwrap();
    ended(&mut child);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    (serde_json::from_str(&line.unwrap()).expect("it serves, and says so in JSON"), rest)
}

#[test]
fn the_greeting_is_one_line_of_json_where_the_log_is_json() {
    let dir = tempfile::tempdir().unwrap();
    let (line, rest) = greeting(dir.path(), &[]);
    assert_eq!(rest, "");
    let ready = format!("Bedrock Cost Keeper {} is ready", env!("CARGO_PKG_VERSION"));
    assert_eq!((&line["message"], &line["level"]), (&Value::from(ready), &Value::from("INFO")));
    assert!(line["api"].as_str().unwrap().ends_with("/api/v1"), "{line}");
    line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    // Where the secrets are, and whether they are new, as the greeting for a person says.
    let secrets = (&line["secrets"], &line["secrets_created"]);
    assert_eq!(secrets, (&Value::from("data/secrets"), &Value::from(true)));
    let (line, _) = greeting(dir.path(), &[]);
    assert_eq!((&line["secrets"], &line["secrets_created"]), (&Value::from("data/secrets"), &Value::from(false)));
    let given = [("COST_KEEPER_AUTH__JWT_SECRET", JWT_SECRET), ("COST_KEEPER_AUTH__PROVISIONING_KEYS", KEY)];
    let (line, _) = greeting(dir.path(), &given);
    assert_eq!((&line["secrets"], &line["secrets_created"]), (&Value::from("configured"), &Value::from(false)));
}

#[test]
fn a_sample_is_for_a_person_and_not_for_who_reads_json() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["serve", "--sample", "--listen", "127.0.0.1:0", "--set", "log.format=json"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("--sample") && stderr(&output).contains("log.format"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is touched");
}
