//! `import`: a configuration file straight into the store.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{CommandError, CommandResult, ready_app};
use crate::api::import::{ImportFormat, ImportResponse, parse_document};
use crate::config::Config;
use crate::service::access::ProvisioningAccess;

/// Largest file that is read: far above a thousand organizations with their applications.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// YAML or JSON file (told apart by its ending; - reads YAML or JSON from standard input)
    file: PathBuf,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

fn read(args: &ImportArgs) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    if args.file.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(&args.file)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    }
    Ok(bytes)
}

pub(super) async fn run(config: &Config, args: ImportArgs) -> CommandResult {
    let bytes = read(&args)?;
    // YAML is a superset of JSON; for a .json file the stricter reader gives the better message.
    let json = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let format = if json { ImportFormat::Json } else { ImportFormat::Yaml };
    let orgs = parse_document(&bytes, format).map_err(|error| error.message)?.into_orgs()?;

    let app = ready_app(config).await?;
    let outcome = app.services.import(&ProvisioningAccess::of_operator(), &orgs, args.dry_run).await;
    app.stop().await;

    let report = ImportResponse::new(&outcome?);
    for change in report.changes() {
        println!("{:9}  {}  {}", change.action, change.resource, change.fields.join(", "));
    }
    for credentials in report.credentials() {
        if let Some(retrieval) = &credentials.secret_retrieval {
            println!(
                "secret of {}: GET {} with a provisioning key, once, until {}",
                credentials.client_id, retrieval.url, retrieval.expires_at
            );
        }
    }
    println!("{}", if args.dry_run { "dry run: nothing was changed" } else { "done" });
    Ok(ExitCode::SUCCESS)
}
