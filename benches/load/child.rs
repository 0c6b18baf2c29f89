//! The child process as this one sees it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{PROVISIONING_KEY, READY, ROLE};

/// Limits high enough to be counted against and never reached, room in the queue for a batch of every connection, and a
/// price that makes every cost known to this side.
const CONFIGURATION: &str = "\
log: {level: warn}
metering: {queue_capacity: 65536}
rate_limits:
  token_per_minute: 1000000
  provisioning_per_minute: 1000000
  model_selection_per_minute: 1000000
  usage_per_minute: 1000000
  batches_per_minute: 1000000
labels:
  premium:
    bedrock_model_id: amazon.nova-pro-v1:0
    prices: {input_usd_micros_per_1m: 800000, output_usd_micros_per_1m: 3200000}
  standard: {bedrock_model_id: amazon.nova-2-lite-v1:0}
  economy: {bedrock_model_id: amazon.nova-micro-v1:0}
";

/// The service, until it is stopped.
pub(crate) struct Child {
    process: Process,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it listened.
    pub(crate) ready: Duration,
}

impl Child {
    pub(crate) fn start(url: &str, directory: &Path) -> Self {
        std::fs::write(directory.join("cost-keeper.yaml"), CONFIGURATION).unwrap();
        let started = Instant::now();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(ROLE)
            .current_dir(directory)
            .env("COST_KEEPER_STORAGE__URL", url)
            .env("COST_KEEPER_AUTH__JWT_SECRET", format!("{:032x}", fastrand::u128(..)))
            .env("COST_KEEPER_AUTH__PROVISIONING_KEYS", PROVISIONING_KEY.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix(READY).expect("the service starts; see above").parse().unwrap();
        Self { process, address, ready: started.elapsed() }
    }

    /// Memory it has in use; `None` where the system does not say.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Stops it as SIGTERM does, and waits until everything is committed.
    pub(crate) fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success(), "the service ended well");
    }
}
