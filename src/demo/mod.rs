//! A simulated day on a real service, and sample data for explorers.
//!
//! The demo starts the service on an embedded store that is removed afterwards, and beside it an imitation of the
//! Bedrock Converse endpoint. Clients talk to both over HTTP and know nothing but the public API, so the demo is also
//! an end-to-end test: it fails where anything it tells about did not happen.

mod audit;
mod bedrock;
mod client;
mod http;
mod ledger;
pub mod sample;
mod scenario;
mod session;
mod stage;
mod timeline;

use std::io::Write;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::CommandError;

/// Pause after each line of the simulated day, long enough to read along.
const READING_PAUSE: Duration = Duration::from_millis(800);

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seconds instead of most of a minute
    #[arg(long)]
    pub fast: bool,
}

/// Runs the demo on standard output. Stopped by a signal it still removes its store.
///
/// # Errors
/// A sentence for a person: what did not happen as it should.
pub async fn run(args: DemoArgs) -> Result<(), CommandError> {
    let DemoArgs { fast } = args;
    let pause = if fast { Duration::ZERO } else { READING_PAUSE };
    let mut out = std::io::stdout();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    play(&mut out, pause, stopped).await
}

/// Plays the simulated day and tells about it line by line, with a pause after each, unless it is stopped before.
///
/// # Errors
/// As [`run`].
pub async fn play(out: &mut dyn Write, pause: Duration, stopped: impl Future<Output = ()>) -> Result<(), CommandError> {
    let stage = Box::pin(stage::Stage::start(scenario::START)).await?;
    let played = tokio::select! {
        played = Box::pin(scenario::play(&stage, out, pause)) => played,
        () = stopped => Err("stopped".into()),
    };
    stage.stop().await;
    played
}
