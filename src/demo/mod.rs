//! A simulated day on a real service, and sample data for explorers.

pub mod sample;

use clap::Args;

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seconds instead of most of a minute
    #[arg(long)]
    pub fast: bool,
}

/// Runs the demo.
///
/// # Errors
/// A sentence for a person.
pub async fn run(_args: DemoArgs) -> Result<(), crate::cli::CommandError> {
    Err("not written yet".into())
}
