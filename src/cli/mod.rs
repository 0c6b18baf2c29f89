//! The command line: one file per command with something to it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to a person")]

mod export;
mod health;
#[cfg(feature = "tls")]
mod https;
mod import;
mod migrate;
mod prices;
mod reprice;
mod serve;
mod signals;
mod table;
mod tls;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::api::openapi;
use crate::app::{self, App, ConfiguredKeys, Parts};
use crate::clock::{Clock, SystemClock};
use crate::config::secrets::{self, ResolvedSecrets, Which};
use crate::config::{Config, Loaded, Sources, schema};
use crate::demo;
use crate::domain::pricing::PriceCatalog;
use crate::ids::{Random, SystemRng};
use crate::service::price_refresh::{self, RefreshPolicy};
use crate::storage::open::open;
use crate::storage::{SchemaStatus, Storage};
use crate::telemetry::logging;

/// Exact, near-real-time spend and model recommendations for applications that call Amazon Bedrock.
///
/// Without a command it serves, on an embedded SQLite store in ./data, with nothing to configure.
#[derive(Debug, Parser)]
#[command(name = "bedrock-cost-keeper", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file; default: cost-keeper.yaml, .yml or .toml in the working directory, if there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one configuration key, for example --set log.level=debug; beats file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = Sources::parse_override)]
    overrides: Vec<(String, String)>,
    /// Directory of the embedded store and of generated secrets [key: data_dir; default: data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default command)
    Serve(ServeArgs),
    /// Bring the store's schema to this version; safe to run twice and from several places at once
    Migrate(migrate::MigrateArgs),
    /// Import organizations and applications from a YAML or JSON file, or everything from an export; idempotent
    Import(import::ImportArgs),
    /// Write configuration, credentials and totals as JSON lines, to import them into another store
    Export(export::ExportArgs),
    /// Price recorded usage that had no price or a stand-in for one; a dry run without --apply
    Reprice(reprice::RepriceArgs),
    /// Print the OpenAPI document
    Openapi,
    /// Ask a running service whether it is healthy; exit code 0 if so, else 1 (for container probes)
    Health(health::HealthArgs),
    /// Show a simulated day: spend rises, the recommendation falls back, sticks, and resets at midnight
    Demo(demo::DemoArgs),
    /// Print prices: of the given models and regions, or all there are
    Models(prices::ModelsArgs),
    /// Explain what a call costs, line by line: which price, from where, and why
    Price(prices::PriceArgs),
    /// Print the effective configuration and where each value came from; secrets are redacted
    Config(ConfigArgs),
}

#[derive(Debug, Default, Args)]
struct ServeArgs {
    /// Address to listen on [key: server.listen; default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Provision a sample organization with some days of usage, once, and print what to paste (embedded store and text
    /// log only)
    #[arg(long)]
    sample: bool,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Print a JSON file that can be loaded again, without secrets
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of a configuration file instead, for editors and for checks before a start; reads nothing
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

/// Why a command failed: a sentence for a person.
pub(crate) type CommandError = Box<dyn std::error::Error + Send + Sync>;
type CommandResult = Result<ExitCode, CommandError>;

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // Whoever reads the output has seen enough (`… | head`): not a failure.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli) -> CommandResult {
    let command = cli.command.unwrap_or_else(|| Command::Serve(ServeArgs::default()));
    match command {
        Command::Openapi => {
            writeln!(std::io::stdout(), "{}", openapi::document().to_pretty_json()?)?;
            Ok(ExitCode::SUCCESS)
        }
        // It tidies up after itself when it is stopped.
        Command::Demo(args) => multi_threaded()?.block_on(demo::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Config(args) if args.schema => {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&schema()?)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(args) => {
            let loaded = load(cli.global, None)?;
            if args.json {
                writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&loaded.to_json()?)?)?;
            } else {
                write!(std::io::stdout(), "{}", loaded.describe())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Models(args) => prices::models(price_catalog(cli.global)?.as_ref(), &args),
        Command::Price(args) => prices::price(price_catalog(cli.global)?.as_ref(), &args),
        Command::Serve(args) => {
            let loaded = load(cli.global, args.listen)?;
            logging::init(loaded.config.log.format, &loaded.config.log.level)?;
            multi_threaded()?.block_on(serve::run(&loaded, args.sample))
        }
        Command::Migrate(args) => {
            let (runtime, config) = prepare(cli.global, Which::Store)?;
            runtime.block_on(migrate::run(&config, &args))
        }
        Command::Import(args) => {
            let (runtime, config) = prepare(cli.global, Which::All)?;
            runtime.block_on(import::run(&config, args))
        }
        Command::Export(args) => {
            let loaded = load(cli.global, None)?;
            logging::init(loaded.config.log.format, &loaded.config.log.level)?;
            export::run(&loaded.config, args)
        }
        Command::Reprice(args) => {
            let (runtime, config) = prepare(cli.global, Which::All)?;
            runtime.block_on(reprice::run(&config, args))
        }
        Command::Health(args) => {
            let loaded = load(cli.global, None)?;
            runtime()?.block_on(health::run(&loaded.config, args))
        }
    }
}

/// Flags become the topmost configuration layer, so that `config` and every message can name them.
fn load(global: Global, listen: Option<SocketAddr>) -> Result<Loaded, CommandError> {
    let mut overrides: BTreeMap<String, String> = global.overrides.into_iter().collect();
    if let Some(data_dir) = global.data_dir {
        overrides.insert("data_dir".to_owned(), data_dir);
    }
    if let Some(listen) = listen {
        overrides.insert("server.listen".to_owned(), listen.to_string());
    }
    Ok(Config::load(&Sources::from_process(global.config, overrides))?)
}

/// What a command that works on the store needs: logs, a runtime, and the configuration with its secrets in it.
fn prepare(global: Global, which: Which) -> Result<(Runtime, Config), CommandError> {
    let loaded = load(global, None)?;
    logging::init(loaded.config.log.format, &loaded.config.log.level)?;
    let runtime = runtime()?;
    let config = runtime.block_on(with_secrets(&loaded.config, which))?;
    Ok((runtime, config))
}

/// The configuration with the secrets in it that are in files or in AWS Secrets Manager.
async fn with_secrets(config: &Config, which: Which) -> Result<Config, CommandError> {
    let store = app::secret_store(config);
    Ok(secrets::fetch(config, store.as_deref(), which).await?)
}

/// The prices a service with this configuration has.
fn price_catalog(global: Global) -> Result<Arc<PriceCatalog>, CommandError> {
    let config = load(global, None)?.config;
    if !config.pricing.aws.enabled {
        return Ok(Arc::new(app::price_catalog(&config)?));
    }
    runtime()?.block_on(async {
        let app = ready_app(&with_secrets(&config, Which::All).await?).await?;
        let catalog = app.services.pricer.catalog();
        app.stop().await;
        Ok(catalog)
    })
}

/// An application over the configured store, migrated, with the prices a running service has.
async fn ready_app(config: &Config) -> Result<App, CommandError> {
    let storage = open_store(config).await?;
    if config.storage.url.is_sqlite() {
        storage.migrate().await?;
    } else if let SchemaStatus::Behind(what) = storage.schema_status().await? {
        return Err(format!("the store is not migrated ({what}): run `bedrock-cost-keeper migrate` first").into());
    }
    let app = wire(config, &resolve_secrets(config)?, storage, None)?;
    if config.pricing.aws.enabled {
        price_refresh::load(&app.services, RefreshPolicy::daily(config.pricing.aws.max_cache_age_days)).await?;
    }
    Ok(app)
}

/// For a command that ends by itself.
fn runtime() -> std::io::Result<Runtime> {
    let runtime = multi_threaded()?;
    signals::end_by_signals(&runtime)?;
    Ok(runtime)
}

fn multi_threaded() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn open_store(config: &Config) -> Result<Arc<dyn Storage>, CommandError> {
    let options = config.storage.options(&config.retention);
    let storage =
        open(config.storage.url.expose(), &options).await.map_err(|error| format!("cannot open the store: {error}"))?;
    Ok(storage)
}

/// An application over an open store, with the system's clock and randomness.
fn wire(
    config: &Config,
    secrets: &ResolvedSecrets,
    storage: Arc<dyn Storage>,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
) -> Result<App, CommandError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRng::new());
    let profile_resolver = app::profile_resolver(config);
    let key_source = ConfiguredKeys::source(config, secrets, app::secret_store(config));
    Ok(App::new(config, secrets, Parts { storage, clock, random, metrics, profile_resolver, key_source })?)
}

fn resolve_secrets(config: &Config) -> Result<ResolvedSecrets, CommandError> {
    Ok(secrets::resolve(config, &SystemRng::new())?)
}
