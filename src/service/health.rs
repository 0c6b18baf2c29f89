//! Is the store there, and is its schema what this binary needs?

use std::time::{Duration, Instant};

use super::Services;
use crate::storage::SchemaStatus;

/// Longest time a health check waits for the store: below the usual probe time-outs, so that the answer names the
/// cause instead of the probe timing out.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What a look at the store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// The backend's name.
    pub backend: &'static str,
    /// How long the answer took.
    pub latency: Duration,
    /// Why the store is not usable; for an operator, without addresses or secrets.
    pub problem: Option<&'static str>,
}

impl Services {
    /// Whether the store answers.
    pub async fn store_health(&self) -> StoreHealth {
        let started = Instant::now();
        let problem = match tokio::time::timeout(PING_TIMEOUT, self.storage.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store does not answer a health check");
                Some("the store does not answer")
            }
            Err(_) => {
                tracing::warn!(error = "no answer in time", "the store does not answer a health check");
                Some("the store does not answer in time")
            }
        };
        StoreHealth { backend: self.storage.backend(), latency: started.elapsed(), problem }
    }

    /// Why requests cannot be served, or `None` where they can: the store answers and is migrated.
    pub async fn not_ready(&self) -> Option<String> {
        match tokio::time::timeout(PING_TIMEOUT, self.storage.schema_status()).await {
            Ok(Ok(SchemaStatus::Current)) => None,
            Ok(Ok(SchemaStatus::Behind(what))) => {
                Some(format!("the store is not migrated ({what}): run `bedrock-cost-keeper migrate`"))
            }
            Ok(Ok(SchemaStatus::Ahead(what))) => Some(format!("the store belongs to a newer version ({what})")),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store does not answer a readiness check");
                Some("the store does not answer".to_owned())
            }
            Err(_) => {
                tracing::warn!(error = "no answer in time", "the store does not answer a readiness check");
                Some("the store does not answer in time".to_owned())
            }
        }
    }
}
