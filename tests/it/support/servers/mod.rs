//! Real servers for the stores that need one, on 127.0.0.1 and free ports.
//!
//! One of each kind serves all tests of a process; it is started by the first test that asks and ends with the process,
//! however that ends. Tests of failures start one of their own, which they may stop and start again. What is missing is
//! said loudly; nothing is skipped.

mod account;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
mod guard;
#[cfg(feature = "postgres")]
pub(crate) mod pgbouncer;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

pub(crate) use guard::{Guard, Signal};

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// How often a start is tried on another port: somebody else may take one before the server does.
const PORTS_TRIED: u32 = 3;

/// Runs `start` on a free port, and again on another one where that fails.
fn on_a_free_port<T>(start: impl Fn(u16) -> Result<T, String>) -> Result<T, String> {
    let mut tried = start(free_port());
    for _ in 1..PORTS_TRIED {
        if tried.is_ok() {
            break;
        }
        tried = start(free_port());
    }
    tried
}

/// The directory of a program: the first of these in which all of `programs` are.
fn directory_with(programs: &[&str], directories: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    directories.into_iter().find(|directory| programs.iter().all(|program| directory.join(program).is_file()))
}

/// The directories of the `PATH`.
fn path_directories() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path: OsString| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The end of a file, for a message.
fn tail(file: &Path) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A word that no other process and no other call comes up with: two runs may share a server that was given to both.
pub(crate) fn unique_word() -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static CALLS: AtomicU32 = AtomicU32::new(0);
    format!("t{:016x}n{}", *PROCESS, CALLS.fetch_add(1, Ordering::Relaxed))
}

/// A directory for a server. It goes with its value, until a [`Guard`] has it.
fn fresh_directory(name: &str) -> tempfile::TempDir {
    directory_in(&std::env::temp_dir(), name)
}

fn directory_in(parent: &Path, name: &str) -> tempfile::TempDir {
    let prefix = format!("cost-keeper-{name}-");
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).expect("a temporary directory")
}

/// A [`fresh_directory`] in memory where there is enough: creating and removing hundreds of databases is mostly waiting
/// for the disk.
#[cfg(feature = "postgres")]
fn fresh_directory_in_memory(name: &str) -> tempfile::TempDir {
    /// What two runs at once need at most, in KiB.
    const ENOUGH: u64 = 2 << 20;
    let memory = Path::new("/dev/shm");
    let free = std::process::Command::new("df").args(["-Pk"]).arg(memory).output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    let usable = free.is_some_and(|free| free >= ENOUGH) && tempfile::tempfile_in(memory).is_ok();
    if usable { directory_in(memory, name) } else { fresh_directory(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_short_enough_for_a_name() {
        let words: std::collections::BTreeSet<_> = (0..1_000).map(|_| unique_word()).collect();
        assert_eq!(words.len(), 1_000);
        assert!(words.iter().all(|word| word.len() < 30 && word.chars().all(|c| c.is_ascii_alphanumeric())));
    }
}
