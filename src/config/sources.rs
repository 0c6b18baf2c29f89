//! Where configuration comes from, as an argument: tests need no process environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::key::ENV_PREFIX;

/// Files looked for in the working directory where none is named.
pub const FILE_NAMES: [&str; 3] = ["cost-keeper.yaml", "cost-keeper.yml", "cost-keeper.toml"];

/// Everything a configuration is made from, besides the defaults.
#[derive(Clone, Default)]
pub struct Sources {
    config_file: Option<PathBuf>,
    working_dir: PathBuf,
    env: BTreeMap<String, OsString>,
    overrides: BTreeMap<String, String>,
}

impl Sources {
    /// No file named, no environment, no overrides; files are looked for in `working_dir`.
    #[must_use]
    pub fn in_dir(working_dir: impl Into<PathBuf>) -> Self {
        Self { working_dir: working_dir.into(), ..Self::default() }
    }

    /// The sources of this process: its environment and working directory, and what its command line gave.
    #[must_use]
    pub fn from_process(config_file: Option<PathBuf>, overrides: BTreeMap<String, String>) -> Self {
        // A name that is not Unicode cannot be one of ours: they are ASCII.
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let sources = Self::in_dir("").with_env(env).with_overrides(overrides);
        Self { config_file, ..sources }
    }

    /// Names the file to read; it must exist.
    #[must_use]
    pub fn with_config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = Some(path.into());
        self
    }

    /// Adds environment variables; those that are not `COST_KEEPER_*` are ignored.
    #[must_use]
    pub fn with_env<K: Into<String>, V: Into<OsString>>(mut self, env: impl IntoIterator<Item = (K, V)>) -> Self {
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.env.extend(env.filter(|(name, _): &(String, _)| name.starts_with(ENV_PREFIX)));
        self
    }

    /// Adds command-line overrides: dotted key and value as text.
    #[must_use]
    pub fn with_overrides<K: Into<String>, V: Into<String>>(
        mut self,
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.overrides.extend(overrides.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Splits a command-line argument `key.path=value`; the value may contain `=`.
    ///
    /// # Errors
    /// A message where there is no `=`. It does not repeat the argument, which may hold a secret.
    pub fn parse_override(argument: &str) -> Result<(String, String), String> {
        match argument.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
            _ => Err("expected key.path=value, for example server.listen=0.0.0.0:8080".to_owned()),
        }
    }

    /// Variables that may set a key.
    pub(super) fn env(&self) -> &BTreeMap<String, OsString> {
        &self.env
    }

    /// Command-line overrides.
    pub(super) fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// The file to read: the one named, whether it exists or not, or the one found.
    ///
    /// # Errors
    /// [`ConfigError::File`] where several are found.
    pub(super) fn file(&self) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(path) = &self.config_file {
            return Ok(Some(path.clone()));
        }
        // Whatever has the name counts, a broken link or an unreadable file too: reading it then says what is wrong.
        let absent = |path: &PathBuf| path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        let mut found = FILE_NAMES.iter().map(|name| self.working_dir.join(name)).filter(|path| !absent(path));
        match (found.next(), found.next()) {
            (Some(path), Some(other)) => Err(ConfigError::File { path, reason: ambiguous(&other) }),
            (first, _) => Ok(first),
        }
    }
}

fn ambiguous(other: &Path) -> String {
    format!("{} exists as well; keep one of them, or name the one to read with --config", other.display())
}

/// Names only: values may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("config_file", &self.config_file)
            .field("working_dir", &self.working_dir)
            .field("env", &self.env.keys())
            .field("overrides", &self.overrides.keys())
            .finish()
    }
}
