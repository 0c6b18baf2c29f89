//! `import`: a configuration file, or an export of another store, straight into the store.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::table::aligned;
use super::{CommandError, CommandResult, ready_app};
use crate::api::import::{ImportFormat, ImportResponse, parse_document};
use crate::config::Config;
use crate::service::access::ProvisioningAccess;
use crate::service::moving::{Findings, ImportError, MoveReport, is_export};

/// Largest configuration file that is read: far above a thousand organizations with their applications.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Longest first line of an export.
const MAX_FIRST_LINE_BYTES: u64 = 4096;
/// Bytes of an export that are read at once.
const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// YAML or JSON file (told apart by its ending; - reads YAML or JSON from standard input), or a file that `export`
    /// wrote
    file: PathBuf,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// What a file turned out to be.
enum Document {
    /// Organizations and applications, provisioned by hand.
    Configuration(Vec<u8>),
    /// What another store had.
    Export(BufReader<File>),
}

fn open(args: &ImportArgs) -> Result<Document, CommandError> {
    if args.file.as_os_str() == "-" {
        let mut input = std::io::stdin().lock();
        return match first_line(&mut input)? {
            first if is_export(&first) => {
                Err("an export is read more than once, so it must be a file, not standard input".into())
            }
            first => Ok(Document::Configuration(rest_of(first, input)?)),
        };
    }
    let failed = |error| format!("cannot read {}: {error}", args.file.display());
    let file = File::open(&args.file).map_err(failed)?;
    let regular = file.metadata().map_err(failed)?.is_file();
    let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
    match first_line(&mut input).map_err(failed)? {
        first if !is_export(&first) => Ok(Document::Configuration(rest_of(first, input).map_err(failed)?)),
        _ if regular => Ok(Document::Export(input)),
        _ => Err(format!("{} is not a file: an export is read more than once, so it must be one", args.file.display())
            .into()),
    }
}

fn first_line(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_FIRST_LINE_BYTES).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn rest_of(mut bytes: Vec<u8>, input: impl BufRead) -> std::io::Result<Vec<u8>> {
    input.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) async fn run(config: &Config, args: ImportArgs) -> CommandResult {
    match open(&args)? {
        Document::Configuration(bytes) => configuration(config, &args, &bytes).await,
        Document::Export(file) => export(config, &args, file).await,
    }
}

async fn configuration(config: &Config, args: &ImportArgs, bytes: &[u8]) -> CommandResult {
    // YAML is a superset of JSON; for a .json file the stricter reader gives the better message.
    let json = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let format = if json { ImportFormat::Json } else { ImportFormat::Yaml };
    let orgs = parse_document(bytes, format).map_err(|error| error.message)?.into_orgs()?;

    let app = ready_app(config).await?;
    let outcome =
        app.services.import(&ProvisioningAccess::of_operator(app.services.random.as_ref()), &orgs, args.dry_run).await;
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

async fn export(config: &Config, args: &ImportArgs, mut file: BufReader<File>) -> CommandResult {
    let app = ready_app(config).await?;
    let access = ProvisioningAccess::of_operator(app.services.random.as_ref());
    let outcome = app.services.import_everything(&access, &mut file, args.dry_run).await;
    app.stop().await;
    let report = outcome.map_err(|error| match error {
        ImportError::File(_) | ImportError::Conflicts(_) => format!("nothing was imported: {error}"),
        ImportError::FileLost(_) | ImportError::Service(_) => {
            format!("{error}; run the same command again to complete the import")
        }
    })?;
    write!(std::io::stdout(), "{}", text(&report)?)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &MoveReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let header = &report.file.header;
    writeln!(out, "export of {} of {}", header.backend, header.exported_at)?;
    writeln!(out, "content sha256 {}", report.file.content)?;
    writeln!(out)?;
    let new = if report.applied { "imported" } else { "to import" };
    let mut rows = vec![[String::new(), new.to_owned(), "unchanged".to_owned()]];
    for (kind, tally) in [
        ("organizations", report.orgs),
        ("applications", report.apps),
        ("inference profiles", report.profiles),
        ("daily totals", report.totals),
    ] {
        rows.push([kind.to_owned(), tally.new.to_string(), tally.unchanged.to_string()]);
    }
    for line in aligned(&rows, 1) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    list(&mut out, &report.conflicts, "resources are here with other content; what differs:")?;
    list(&mut out, &report.differing, "daily totals are here with other counters and stay as they are:")?;
    list(&mut out, &report.overflowing, "daily totals are too large to be counted and are left out:")?;
    let outcome = match (report.applied, report.is_complete()) {
        (false, _) => "dry run: nothing was changed",
        (true, true) => "done",
        (true, false) => "done, except for what is listed above",
    };
    writeln!(out, "{outcome}")?;
    Ok(out)
}

fn list(out: &mut String, findings: &Findings, heading: &str) -> std::fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "{} {heading}", findings.count)?;
    for finding in &findings.first {
        writeln!(out, "  {finding}")?;
    }
    let listed = u64::try_from(findings.first.len()).unwrap_or(u64::MAX);
    if findings.count > listed {
        writeln!(out, "  … and {} more", findings.count - listed)?;
    }
    writeln!(out)
}
