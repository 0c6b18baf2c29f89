//! A server as a child of a small shell that outlives this process by a moment.
//!
//! A static is never dropped and a killed process runs no destructor, so nobody in this process can be trusted to stop a
//! server. The shell can: it reads orders from a pipe that only this process holds, and when that is closed, because this
//! process said so or is gone, it kills the server and removes its directory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Its arguments: the directory, the signal that ends the server for good, then the server's command. Each order is
/// answered by one line. A server that ignores the signal it was to stop at is killed after half a minute.
const SHELL: &str = r#"
directory=$1 end=$2
shift 2
start() {
  "$@" >>"$directory/log" 2>&1 </dev/null &
  server=$!
}
start "$@"
echo "$server"
while read -r order signal; do
  case $order in
    stop)
      kill -s "$signal" "$server" 2>/dev/null
      (sleep 30; kill -s KILL "$server") >/dev/null 2>&1 &
      patience=$!
      wait "$server" 2>/dev/null
      kill "$patience" 2>/dev/null
      server=
      echo stopped
      ;;
    start)
      start "$@"
      echo "$server"
      ;;
  esac
done
if [ -n "$server" ]; then
  kill -s "$end" "$server" 2>/dev/null
  wait "$server" 2>/dev/null
fi
rm -rf "$directory"
"#;

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(20);

/// How a server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// What it means depends on the server; to PostgreSQL: end all connections, write everything down, stop.
    Int,
    /// To PostgreSQL: stop at once and recover at the next start.
    Quit,
    /// To Java: stop in order.
    Term,
    /// The end of the process, whatever it was doing.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
        }
    }
}

struct Orders {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The server's process.
    pid: u32,
}

impl Orders {
    fn give(&mut self, order: &str) -> String {
        writeln!(self.input, "{order}").expect("the guard of a server takes orders");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the guard of a server answers");
        line.trim().to_owned()
    }
}

/// A running server. Dropping it stops the server and removes its directory, and so does the end of this process.
pub(crate) struct Guard {
    /// `None` once it is dropped.
    orders: Mutex<Option<Orders>>,
    shell: Child,
    directory: PathBuf,
}

impl Guard {
    /// Starts `command` in `directory`, which it owns from now on; standard output and error go to `log` there. `end` is
    /// the signal that ends it for good.
    pub(crate) fn start(directory: tempfile::TempDir, end: Signal, command: &[String]) -> Self {
        // From here on the shell removes it.
        let directory = directory.keep();
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "guard"])
            .arg(&directory)
            .arg(end.name())
            .args(command)
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C ends the tests; the pipe tells the shell.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let mut orders = Orders {
            input: shell.stdin.take().expect("its input"),
            output: BufReader::new(shell.stdout.take().expect("its output")),
            pid: 0,
        };
        orders.pid = orders.answer().parse().expect("a process id");
        Self { orders: Mutex::new(Some(orders)), shell, directory }
    }

    /// The server's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.with_orders(|orders| orders.pid)
    }

    /// Stops the server and returns when its process is gone.
    pub(crate) fn stop(&self, signal: Signal) {
        self.with_orders(|orders| assert_eq!(orders.give(&format!("stop {}", signal.name())), "stopped"));
    }

    /// Starts it again with the same command. It must be stopped.
    pub(crate) fn start_again(&self) {
        self.with_orders(|orders| orders.pid = orders.give("start").parse().expect("a process id"));
    }

    /// Waits until `ready`, no longer than `patience`.
    ///
    /// # Errors
    /// The end of the server's log, where it ends or does not get ready.
    pub(crate) fn wait_until(&self, patience: Duration, ready: impl Fn() -> bool) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            // Asked before readiness: then whoever answered was ours.
            let running = self.is_running();
            if ready() && running {
                return Ok(());
            }
            if !running || begin.elapsed() > patience {
                let what = if running { "did not get ready" } else { "ended at once" };
                return Err(format!("it {what}: {}", super::tail(&self.directory.join("log"))));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whether the process is there and not waiting to be buried. Where the system does not say, it counts as running.
    fn is_running(&self) -> bool {
        if !Path::new("/proc/self/stat").exists() {
            return true;
        }
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
    }

    fn with_orders<T>(&self, act: impl FnOnce(&mut Orders) -> T) -> T {
        // A test that failed while it gave an order must not hide its own message behind a poisoned lock.
        let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(orders.as_mut().expect("it is not dropped"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.orders.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping() -> Guard {
        Guard::start(super::super::fresh_directory("guard"), Signal::Kill, &["sleep".to_owned(), "600".to_owned()])
    }

    fn exists(pid: u32) -> bool {
        Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
    }

    #[test]
    fn a_dropped_guard_has_stopped_its_server_and_removed_the_directory() {
        let guard = sleeping();
        let (pid, directory) = (guard.pid(), guard.directory().to_owned());
        assert!(exists(pid) && directory.exists());
        drop(guard);
        assert!(!exists(pid) && !directory.exists());
    }

    #[test]
    fn a_server_outlives_its_stop_and_start_in_the_same_directory() {
        let guard = sleeping();
        let first = guard.pid();
        guard.stop(Signal::Kill);
        assert!(!exists(first) && guard.directory().exists());
        guard.start_again();
        let second = guard.pid();
        assert!(second != first && exists(second));
        drop(guard);
        assert!(!exists(second));
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_log() {
        let command = ["sh", "-c", "echo out of luck; exit 3"].map(str::to_owned);
        let guard = Guard::start(super::super::fresh_directory("guard"), Signal::Kill, &command);
        let error = guard.wait_until(Duration::from_secs(20), || false).unwrap_err();
        assert!(error.contains("ended at once") && error.contains("out of luck"), "{error}");
    }

    #[test]
    fn nothing_is_left_of_a_server_whose_tests_were_killed() {
        let directory = super::super::fresh_directory("guard").keep();
        // Plays the tests: it holds the pipe, and is killed.
        let mut tests = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "guard"])
            .arg(&directory)
            .args(["KILL", "sleep", "601"])
            .stdin(tests.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut server).unwrap();
        let server: u32 = server.trim().parse().unwrap();
        assert!(exists(server));
        tests.kill().unwrap();
        tests.wait().unwrap();
        shell.wait().unwrap();
        assert!(!exists(server) && !directory.exists());
    }
}
