//! The binary as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Everything that Kubernetes sets in a pod beside a Service called `cost-keeper` with two ports, and one `…-metrics`.
pub(crate) const SERVICE_LINKS: &[(&str, &str)] = &[
    ("COST_KEEPER_SERVICE_HOST", "10.0.0.7"),
    ("COST_KEEPER_SERVICE_PORT", "8080"),
    ("COST_KEEPER_SERVICE_PORT_HTTP", "8080"),
    ("COST_KEEPER_PORT", "tcp://10.0.0.7:8080"),
    ("COST_KEEPER_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
    ("COST_KEEPER_PORT_8080_TCP_ADDR", "10.0.0.7"),
    ("COST_KEEPER_PORT_8080_TCP_PORT", "8080"),
    ("COST_KEEPER_PORT_8080_TCP_PROTO", "tcp"),
    ("COST_KEEPER_METRICS_SERVICE_HOST", "fd00::8"),
    ("COST_KEEPER_METRICS_SERVICE_PORT_METRICS", "9464"),
    ("COST_KEEPER_METRICS_PORT", "tcp://[fd00::8]:9464"),
    ("COST_KEEPER_METRICS_PORT_9464_TCP_ADDR", "fd00::8"),
    ("BEDROCK_COST_KEEPER_SERVICE_HOST", "10.0.0.9"),
    ("BEDROCK_COST_KEEPER_PORT", "tcp://10.0.0.9:8080"),
];

/// Longest time a process may take for one step: far more than it needs on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is asked again.
const POLL: Duration = Duration::from_millis(20);

/// The binary, with an environment and working directory of its own.
pub(crate) fn command(working_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-cost-keeper"));
    command.current_dir(working_dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COST_KEEPER_") {
            command.env_remove(name);
        }
    }
    command
}

fn serve(working_dir: &Path) -> Command {
    let mut command = command(working_dir);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command
}

/// Runs a command to its end.
pub(crate) fn run(working_dir: &Path, args: &[&str]) -> Output {
    command(working_dir).args(args).output().unwrap()
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asks until there is an answer, with pauses, no longer than [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(POLL);
    }
}

/// The end of a process that is about to end.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    wait_for("the process ends", || child.try_wait().unwrap())
}

/// Sends a signal by name.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The next connection somebody makes.
pub(crate) fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    wait_for("somebody connects", || listener.accept().ok()).0
}

/// Reads from what a process prints. One that says nothing for too long is killed.
pub(crate) fn heard<T: Send + 'static>(
    child: &mut Child,
    read: impl FnOnce(&mut BufReader<ChildStdout>) -> T + Send + 'static,
) -> (T, BufReader<ChildStdout>) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send((read(&mut output), output)));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the process does not say what it should: {error}")
    })
}

/// Where the API is, by a line of the greeting, which is one line of JSON where the log is JSON.
fn api_of(line: &str) -> Option<String> {
    if let Some(api) = line.trim().strip_prefix("API ") {
        return Some(api.trim().to_owned());
    }
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["api"].as_str().map(str::to_owned)
}

/// A served process. Killed when dropped.
pub(crate) struct Served {
    pub child: Child,
    pub url: String,
    output: BufReader<ChildStdout>,
}

impl Served {
    /// Starts `serve` on a free port in `working_dir` and waits until it says where it listens.
    pub(crate) fn start(working_dir: &Path, args: &[&str]) -> Self {
        Self::start_with_env(working_dir, args, &[])
    }

    /// Starts it with further environment variables.
    pub(crate) fn start_with_env(working_dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::spawn(serve(working_dir).args(args).envs(env.iter().copied()))
    }

    /// Starts it with its log at the end of a file.
    pub(crate) fn start_logging(working_dir: &Path, args: &[&str], log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        Self::spawn(serve(working_dir).args(args).stderr(log))
    }

    /// Starts a command that serves, and waits until it says where.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (api, output) =
            heard(&mut child, |output| output.lines().map_while(Result::ok).find_map(|line| api_of(&line)));
        let url = api.expect("the process ended before it served").trim_end_matches("/api/v1").to_owned();
        Self { child, url, output }
    }

    /// What else it prints until it ends.
    pub(crate) fn rest_of_output(&mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    /// The provisioning key it created.
    pub(crate) fn provisioning_key(working_dir: &Path) -> String {
        std::fs::read_to_string(working_dir.join("data/secrets/provisioning-key")).unwrap().trim().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
