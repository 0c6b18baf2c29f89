//! What can go wrong in a store, in words every store shares.

/// A failed storage operation. Absence is not an error: methods answer `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Something with this key exists already.
    #[error("already exists")]
    AlreadyExists,
    /// Somebody else changed it first, or what it depends on is gone.
    #[error("changed concurrently")]
    Conflict,
    /// The store cannot be reached, is overloaded or did not answer in time. Nothing was changed, or the change is
    /// safe to repeat.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood. Never retried, always worth an operator's look.
    #[error("stored data is not readable: {0}")]
    Corrupt(String),
    /// Anything else the store refused.
    #[error("store failed: {0}")]
    Backend(String),
}

impl StorageError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
