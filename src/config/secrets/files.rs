//! Secrets kept as files of their own, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::error::SecretsError;
use crate::ids::Random;

/// Random bytes of a created secret.
const SECRET_BYTES: usize = 32;
/// Their length in base64url without padding.
const SECRET_CHARS: usize = 43;
/// Taken by whoever creates; the operating system releases it when the process ends, however it ends.
const LOCK_FILE: &str = ".lock";

/// A directory of secrets.
pub(super) struct SecretDir {
    pub(super) path: PathBuf,
}

impl SecretDir {
    /// Opens or creates the directory, closed to others.
    pub(super) fn open(path: PathBuf) -> Result<Self, SecretsError> {
        let fail = |e: io::Error| failed(&path, "cannot make the directory", &e);
        if let Some(data_dir) = path.parent() {
            fs::create_dir_all(data_dir).map_err(fail)?;
        }
        owner_only::create_dir(&path).map_err(fail)?;
        Ok(Self { path })
    }

    /// The secret of a name, and whether this call created it. Concurrent calls, in any number of processes, get the
    /// same one.
    pub(super) fn read_or_create(&self, name: &str, random: &dyn Random) -> Result<(SecretString, bool), SecretsError> {
        let path = self.path.join(name);
        // Without the lock: a file that is there is complete, because it was renamed into place. A read-only data
        // directory can be used this way.
        if let Some(secret) = read(&path)? {
            return Ok((secret, false));
        }
        let lock_path = self.path.join(LOCK_FILE);
        let lock = owner_only::options().create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|e| failed(&lock_path, "cannot be created", &e))?;
        lock.lock().map_err(|e| failed(&lock_path, "cannot be locked", &e))?;
        if let Some(secret) = read(&path)? {
            return Ok((secret, false));
        }
        let mut bytes = [0; SECRET_BYTES];
        random.fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        self.write(name, &text).map_err(|e| failed(&path, "cannot be written", &e))?;
        Ok((text.into(), true))
    }

    /// Puts a complete file in place or none: what was returned once must be there after a crash.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.path.join(format!(".{name}.new"));
        // Left by a start that was killed; the lock says that nobody is using it.
        if let Err(e) = fs::remove_file(&temporary)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(e);
        }
        let mut file = owner_only::options().create_new(true).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(name))?;
        owner_only::sync_dir(&self.path)
    }
}

/// The secret in a file, or `None` where there is no file.
fn read(path: &Path) -> Result<Option<SecretString>, SecretsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(path, "cannot be read", &e)),
    };
    owner_only::enforce(&file, path)?;
    let mut text = String::with_capacity(SECRET_CHARS + 1);
    let read = file.take(1024).read_to_string(&mut text);
    let secret = text.trim_end_matches(['\r', '\n']);
    if read.is_err() || secret.len() < SECRET_CHARS || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        let reason = "is damaged; delete it to have a new one created, which ends what depends on the old one";
        return Err(SecretsError::File { path: path.to_owned(), reason: reason.to_owned() });
    }
    Ok(Some(secret.into()))
}

fn failed(path: &Path, what: &str, error: &io::Error) -> SecretsError {
    SecretsError::File { path: path.to_owned(), reason: format!("{what}: {error}") }
}

/// Access for the owner alone, where the operating system knows such a thing.
#[cfg(unix)]
mod owner_only {
    use std::fs::{self, DirBuilder, Permissions};
    use std::io::ErrorKind;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

    use super::{File, OpenOptions, Path, SecretsError, failed, io};

    pub(super) fn create_dir(path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            other => return other,
        }
        let metadata = fs::metadata(path)?;
        if !metadata.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    pub(super) fn options() -> OpenOptions {
        let mut options = File::options();
        options.write(true).mode(0o600);
        options
    }

    /// Refuses a file that everybody could read: its secret may be known. Access for the group is taken away with a
    /// warning only, because Kubernetes grants it on every mount of a volume with `fsGroup`.
    pub(super) fn enforce(file: &File, path: &Path) -> Result<(), SecretsError> {
        let refused = |reason: String| SecretsError::File { path: path.to_owned(), reason };
        let metadata = file.metadata().map_err(|e| failed(path, "cannot be examined", &e))?;
        if !metadata.is_file() {
            return Err(refused("is not a file".to_owned()));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(refused(format!(
                "everybody has access to it (mode {mode:03o}), so it may be known: delete it to have a new one \
                 created, or run `chmod 600` on it if it is not"
            )));
        }
        if mode & 0o070 != 0 {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(|e| {
                failed(path, &format!("its group has access to it (mode {mode:03o}), which cannot be taken away"), &e)
            })?;
            tracing::warn!(path = %path.display(), "took away the group's access to a secret");
        }
        Ok(())
    }

    pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(not(unix))]
mod owner_only {
    use super::{File, OpenOptions, Path, SecretsError, fs, io};

    pub(super) fn create_dir(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub(super) fn options() -> OpenOptions {
        let mut options = File::options();
        options.write(true);
        options
    }

    pub(super) fn enforce(_: &File, _: &Path) -> Result<(), SecretsError> {
        Ok(())
    }

    pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
