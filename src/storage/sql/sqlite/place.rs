//! Where the file is: making it, and saying what is wrong with its place.

use std::io;
use std::path::Path;

use crate::storage::error::StorageError;

/// Makes sure that the file exists and is readable by nobody else. SQLite gives its `-wal` and `-shm` files the mode of
/// the database. An existing file keeps the mode its owner gave it; it is not opened, because closing it again would
/// take SQLite's locks of this process away.
pub(super) async fn create_private(path: &Path) -> Result<(), StorageError> {
    if let Some(directory) = path.parent() {
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(directory).await.map_err(|error| cannot_create(path, &error))?;
    }
    let mut file = tokio::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    file.mode(0o600);
    match file.open(path).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(cannot_create(path, &error)),
    }
}

pub(super) fn cannot_create(path: &Path, error: &io::Error) -> StorageError {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied { owners(path) } else { String::new() };
    StorageError::Unavailable(format!("the database file {} cannot be created: {error}{advice}", path.display()))
}

/// What SQLite could not open or write.
pub(super) fn cannot_write(path: &Path, error: &sqlx::Error) -> StorageError {
    StorageError::Unavailable(format!(
        "the database file {} cannot be written: {error}{}",
        path.display(),
        owners(path)
    ))
}

/// Who this process is and whose file and directory these are: what a person compares where access is denied. A volume
/// that belongs to somebody else is the usual reason.
#[cfg(unix)]
fn owners(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;

    let mut parts = Vec::new();
    // Linux tells it by a file; there is no call for it in the standard library.
    if let Ok(own) = std::fs::metadata("/proc/self") {
        parts.push(format!("this process is uid {} and gid {}", own.uid(), own.gid()));
    }
    let there = path.ancestors().filter_map(|place| Some((place, std::fs::metadata(place).ok()?)));
    // The file, where it is there, and the nearest directory.
    for (place, found) in there.take(if path.exists() { 2 } else { 1 }) {
        let (uid, gid, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
        parts.push(format!("{} belongs to uid {uid} and gid {gid} with mode {mode:o}", place.display()));
    }
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

#[cfg(not(unix))]
fn owners(_: &Path) -> String {
    String::new()
}
