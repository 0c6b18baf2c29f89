//! A place outside this machine that keeps secrets by id.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

/// Which version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The one in force.
    Current,
    /// The one that was in force before.
    Previous,
}

impl Stage {
    /// Its label in AWS Secrets Manager.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// Why a secret could not be had, as the end of a sentence about it. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretStoreError {
    /// There is none with this id, or it has no such version.
    #[error("does not exist in this account and region")]
    NotFound,
    /// It is kept as bytes.
    #[error("is binary; store it as text")]
    Binary,
    /// The store refuses, for lack of permission or because of the secret's state.
    #[error("is refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("was not answered within {0} seconds")]
    TimedOut(u64),
    /// The store cannot be reached or fails.
    #[error("cannot be asked for: {0}")]
    Unavailable(String),
}

/// Keeps secrets by id.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// The text of a version of a secret. Takes bounded time, repetitions included.
    ///
    /// # Errors
    /// [`SecretStoreError`].
    async fn text(&self, id: &str, stage: Stage) -> Result<SecretString, SecretStoreError>;
}
