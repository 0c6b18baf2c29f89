//! What a use case can answer instead of a result. Knows no HTTP: `api::error` alone maps these to status and code.

use jiff::Timestamp;

use crate::domain::calendar::{AcceptedWindow, CalendarError, Day};
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::money::PicoUsd;
use crate::domain::quota::QuotaPct;
use crate::domain::tenant::InvalidConfig;
use crate::ids::RandomError;
use crate::storage::StorageError;

/// Every label of an ordering is exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// The organization.
    pub org_id: OrgId,
    /// The application.
    pub app_id: AppId,
    /// The local day.
    pub date: Day,
    /// When a label is free again.
    pub retry_after: Timestamp,
    /// Binding percentage by label.
    pub models: Vec<(ModelLabel, QuotaPct)>,
    /// Sum over labels of spend beyond the binding quota.
    pub total_overage: PicoUsd,
}

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A field of the request is wrong.
    #[error("{field}: {reason}")]
    InvalidRequest {
        /// The field, as written in the request.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A timestamp outside the accepted window.
    #[error("timestamp is outside the accepted range")]
    OutsideWindow(AcceptedWindow),
    /// A well-formed but impossible configuration.
    #[error(transparent)]
    InvalidConfig(#[from] InvalidConfig),
    /// The label is not configured for the application.
    #[error("model label {label} is not configured here")]
    InvalidModelLabel {
        /// The label asked for.
        label: String,
        /// Labels that are.
        configured: Vec<ModelLabel>,
    },
    /// Missing, wrong, expired or revoked credentials. The text never says which secret.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// Good credentials that do not reach this far.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Not registered, not there, or used up.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// There is one already and the caller asked to create only.
    #[error("{0} already exists")]
    AlreadyExists(&'static str),
    /// An immutable field, a lost update, or something that depends on it.
    #[error("{message}")]
    Conflict {
        /// What stands against it.
        message: String,
        /// The field in question, where there is one.
        field: Option<&'static str>,
    },
    /// The request id belongs to a submission with another body.
    #[error("this request_id was submitted before with a different body")]
    IdempotencyConflict,
    /// Every label is exceeded.
    #[error("the quota of every model is exceeded, from the fallback in force on")]
    QuotaExceeded(Box<QuotaExceeded>),
    /// Cannot be done now; nothing was changed, or repeating it is safe.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A fault of ours. The text is for the log only.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ServiceError {
    /// A refusal of one field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidRequest { field: field.into(), reason: reason.into() }
    }

    /// Something stands against it, without a single field to blame.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into(), field: None }
    }
}

impl From<StorageError> for ServiceError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(reason) => Self::Unavailable(reason),
            StorageError::Conflict => {
                Self::conflict("it was changed by another request at the same time; read it again and repeat")
            }
            // A use case that can meet an existing item handles it itself; here it would be a fault.
            StorageError::AlreadyExists | StorageError::Corrupt(_) | StorageError::Backend(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<RandomError> for ServiceError {
    fn from(error: RandomError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<CalendarError> for ServiceError {
    fn from(error: CalendarError) -> Self {
        Self::Internal(error.to_string())
    }
}
