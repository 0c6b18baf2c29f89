//! Who runs a server that refuses to be run by root.

use std::path::Path;
use std::process::Command;

/// The account a server runs under.
#[derive(Debug)]
pub(super) enum Account {
    /// This process's own.
    Own,
    /// Nobody's: this process is root's.
    Nobody { uid: u32, gid: u32 },
}

impl Account {
    /// The account for a server in `directory`, which may use that directory.
    pub(super) fn for_a_server(directory: &Path) -> Result<Self, String> {
        let account = if id("-u", None)? == 0 {
            Self::Nobody { uid: id("-u", Some("nobody"))?, gid: id("-g", Some("nobody"))? }
        } else {
            Self::Own
        };
        account.own(directory)?;
        Ok(account)
    }

    /// Gives a file to the account.
    pub(super) fn own(&self, file: &Path) -> Result<(), String> {
        let Self::Nobody { uid, gid } = self else { return Ok(()) };
        std::os::unix::fs::chown(file, Some(*uid), Some(*gid))
            .map_err(|error| format!("cannot give {} to nobody: {error}", file.display()))
    }

    /// The command, run by the account.
    pub(super) fn command(&self, command: Vec<String>) -> Vec<String> {
        let Self::Nobody { uid, gid } = self else { return command };
        let mut whole = vec!["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")];
        whole.push("--clear-groups".to_owned());
        whole.extend(command);
        whole
    }
}

/// What `id` says of an account, or of this process.
fn id(option: &str, of: Option<&str>) -> Result<u32, String> {
    let output = Command::new("id").arg(option).args(of).output().map_err(|error| format!("id: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("there is no account {}, which a server could run under", of.unwrap_or("of mine")))
}
