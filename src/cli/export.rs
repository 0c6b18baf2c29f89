//! `export`: everything that moves to another store, as JSON lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::signals::StopSignals;
use super::{CommandError, CommandResult, multi_threaded, open_store, resolve_secrets, runtime, wire, with_secrets};
use crate::app::App;
use crate::config::Config;
use crate::config::secrets::Which;
use crate::ids::{Random as _, SystemRng};
use crate::service::access::ProvisioningAccess;
use crate::service::moving::{ExportError, Exported};
use crate::storage::SchemaStatus;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// File to write, readable by its owner only; - or unset is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where there is one
    #[arg(long, requires = "output")]
    force: bool,
}

pub(super) fn run(config: &Config, args: ExportArgs) -> CommandResult {
    let target = args.output.filter(|path| path.as_os_str() != "-");
    let Some(target) = target else {
        // Ended anywhere: whoever reads it finds out. A signal must not wait for a reader that reads no more.
        return runtime()?.block_on(to_standard_output(config));
    };
    // Before anything is read: nobody should wait for that answer.
    refuse_taken(&target, args.force)?;
    // It tidies up after itself when it is stopped.
    let runtime = multi_threaded()?;
    let outcome = runtime.block_on(to_file(config, &target, args.force));
    // Without waiting for what a stop has left in the middle, such as the look-up of a store's name.
    runtime.shutdown_background();
    outcome
}

fn report(exported: Exported) -> ExitCode {
    let Exported { orgs, apps, profiles, totals, content } = exported;
    // Standard output may be the export itself.
    eprintln!("organizations {orgs}, applications {apps}, inference profiles {profiles}, daily totals {totals}");
    eprintln!("content sha256 {content}");
    ExitCode::SUCCESS
}

/// An application over a store that is there. Nothing is created or migrated: an export leaves its store as it was.
async fn present_app(config: &Config) -> Result<App, CommandError> {
    let config = &with_secrets(config, Which::All).await?;
    if let Some(path) = config.storage.url.expose().strip_prefix("sqlite://")
        && !Path::new(path).exists()
    {
        return Err(format!("there is no store at {}", config.storage.url).into());
    }
    let storage = open_store(config).await?;
    match storage.schema_status().await? {
        SchemaStatus::Current => {}
        SchemaStatus::Behind(what) => {
            return Err(format!("the store is not migrated ({what}): run `bedrock-cost-keeper migrate` first").into());
        }
        SchemaStatus::Ahead(what) => {
            return Err(format!("the store was written by a newer version ({what}): use that one").into());
        }
    }
    wire(config, &resolve_secrets(config)?, storage, None)
}

async fn to_standard_output(config: &Config) -> CommandResult {
    let app = present_app(config).await?;
    let exported = export(&app, BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())).await;
    app.stop().await;
    Ok(report(exported?))
}

async fn to_file(config: &Config, target: &Path, force: bool) -> CommandResult {
    let failed = |error: io::Error| format!("cannot write {}: {error}", target.display());
    let mut signals = StopSignals::listen()?;
    // It has hashes of client secrets: whatever ends this, it goes away unless it is whole.
    let partial = Partial::create(target).map_err(failed)?;
    let written = tokio::select! {
        written = write(config, &partial.file) => written,
        signal = signals.next() => {
            drop(partial);
            eprintln!("stopped; nothing was written");
            return Ok(ExitCode::from(signal.exit_code()));
        }
    };
    let (app, exported) = written?;
    let published = partial.publish(target, force).map_err(failed);
    // What was asked for is there, or is not: somebody who does not want to wait for the rest changes nothing of it.
    tokio::select! {
        () = app.stop() => {}
        _ = signals.next() => {}
    }
    published?;
    Ok(report(exported))
}

/// Writes everything; the application is still to be stopped.
async fn write(config: &Config, file: &File) -> Result<(App, Exported), CommandError> {
    let app = present_app(config).await?;
    match export(&app, BufWriter::with_capacity(BUFFER_BYTES, file)).await {
        Ok(exported) => Ok((app, exported)),
        Err(error) => {
            app.stop().await;
            Err(error.into())
        }
    }
}

/// An export that nobody reads to its end has failed, also where a pipe was closed.
async fn export(app: &App, out: impl Write) -> Result<Exported, String> {
    let access = ProvisioningAccess::of_operator(app.services.random.as_ref());
    app.services.export_everything(&access, out).await.map_err(|error: ExportError| error.to_string())
}

/// Refuses a file that is there, unless it may be replaced; never replaces what is no file, such as a device.
fn refuse_taken(target: &Path, force: bool) -> Result<(), CommandError> {
    match fs::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot write {}: {error}", target.display()).into()),
        Ok(found) if !found.is_file() => Err(format!("{} is not a file", target.display()).into()),
        Ok(_) if force => Ok(()),
        Ok(_) => Err(format!("{} is there already; --force replaces it", target.display()).into()),
    }
}

/// A file on its way. Where it does not get there, it goes away.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    /// Beside the target, so that it can be renamed, and under a name that nobody else uses.
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(format!(".{}.partial", SystemRng::new().uuid().map_err(io::Error::other)?.simple()));
        let path = target.with_file_name(partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path })
    }

    /// Puts the whole file in place, where it stays also after a power loss.
    fn publish(self, target: &Path, force: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if force {
            fs::rename(&self.path, target)?;
        } else {
            // Unlike a rename, a link never replaces what somebody else put there meanwhile.
            fs::hard_link(&self.path, target).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                _ if fs::symlink_metadata(target).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
                // Not every file system has links.
                _ => fs::rename(&self.path, target),
            })?;
        }
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone already where it was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_published_file_is_whole_and_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x.jsonl");
        let mut partial = Partial::create(&target).unwrap();
        partial.file.write_all(b"line\n").unwrap();
        assert!(!target.exists());
        partial.publish(&target, false).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"line\n");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["x.jsonl"]);
    }

    #[test]
    fn what_somebody_else_put_there_meanwhile_is_replaced_only_by_force() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x.jsonl");
        let (refused, forced) = (Partial::create(&target).unwrap(), Partial::create(&target).unwrap());
        fs::write(&target, "theirs").unwrap();
        assert_eq!(refused.publish(&target, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        forced.publish(&target, true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(names(directory.path()), ["x.jsonl"]);
    }

    #[test]
    fn an_export_that_failed_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        drop(Partial::create(&directory.path().join("x.jsonl")).unwrap());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_taken_name_is_refused_without_force_and_a_device_always() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x.jsonl");
        assert!(refuse_taken(&target, false).is_ok());
        fs::write(&target, "").unwrap();
        assert!(refuse_taken(&target, false).unwrap_err().to_string().contains("--force"));
        assert!(refuse_taken(&target, true).is_ok());
        for other in [directory.path(), Path::new("/dev/null")] {
            assert!(refuse_taken(other, true).unwrap_err().to_string().contains("not a file"));
        }
    }
}
