//! How fast the service answers, as a ratio to what the machine allows. Run with
//!
//! ```text
//! cargo bench --bench load                      # SQLite
//! cargo bench --bench load -- --help            # other stores, shorter runs, JSON
//! ```
//!
//! This process generates the load; the service runs in a child process (`server`). In the same run it measures a
//! route that does nothing but authenticate and read the same body, and the same inserts and upserts done by the store
//! alone, in large batches. What comes first in the report are ratios to these. After each run the sum of everything
//! acknowledged is compared with what is stored, to the pico-dollar.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::cast_sign_loss, clippy::print_stderr, clippy::indexing_slicing)]

mod bare;
mod calls;
mod child;
mod generator;
mod ledger;
mod report;
mod server;
mod tenants;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use self::calls::Kind;
use self::child::Child;
use self::generator::{Plan, closed_loop, open_loop};
use self::report::{Figure, Report};

/// Measures the service under load and prints ratios to what the machine allows.
#[derive(Debug, Parser)]
struct Args {
    /// The store, as in `storage.url`; default: SQLite in a new directory. It must be empty.
    #[arg(long)]
    url: Option<String>,
    /// Seconds of each measurement; a quarter of it goes before, unmeasured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Connections of the closed loops.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Also write the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the store of its own is; default: a new directory in the target folder, because the system's temporary
    /// directory may be in memory.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some(server::ROLE) {
        server::main();
        return;
    }
    let args = Args::parse();
    // One thread: the load must not take more of the machine than it has to.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(run(&args));
    print!("{}", report.to_text());
    if let Some(path) = &args.json {
        std::fs::write(path, report.to_json()).unwrap();
    }
    if !report.ledger_is_exact() {
        std::process::exit(1);
    }
}

async fn run(args: &Args) -> Report {
    let parent = args.directory.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let directory = tempfile::Builder::new().prefix("load-").tempdir_in(parent).unwrap();
    let length = Duration::from_secs(args.seconds.max(1));
    let own_store = format!("sqlite://{}", directory.path().join("load.db").display());
    let url = args.url.clone().unwrap_or(own_store);
    let mut report = Report::new(&url);
    if url.starts_with("sqlite:") {
        let file = directory.path().join("bare.db");
        report.bare = Some(bare::sqlite(&file, length).await);
    }

    let child = Child::start(&url, directory.path());
    report.ready = child.ready;
    let tenants = tenants::provision(&child).await;
    let plan = |kind, connections| Plan { address: child.address, tenants: &tenants, kind, connections, length };
    for kind in Kind::ALL {
        for &connections in &args.connections {
            let run = closed_loop(plan(kind, connections)).await;
            report.add(Figure { kind, connections, offered_per_sec: None, rss: child.rss_bytes(), run });
            report.progress();
        }
    }
    // Half of the largest throughput of single submissions, offered at fixed instants whatever the answers do.
    let offered = report.most_per_sec(Kind::Usage) / 2.0;
    let run = open_loop(plan(Kind::Usage, 64), offered).await;
    report.add(Figure {
        kind: Kind::Usage,
        connections: 64,
        offered_per_sec: Some(offered),
        rss: child.rss_bytes(),
        run,
    });
    report.progress();

    child.stop();
    report.ledger = Some(ledger::check(&url, &tenants, report.acknowledged()).await);
    report
}
