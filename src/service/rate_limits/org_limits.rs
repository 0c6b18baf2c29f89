//! What organizations set for their clients, read from the store now and then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use crate::domain::ids::{OrgId, Scope};
use crate::domain::rate_limits::OrgRateLimits;
use crate::storage::Storage;

/// How old limits may be. With the four seconds of the cache in front of a shared store, a change at another instance is
/// in force within five; and one read a second and organization costs no store anything.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Organizations kept at most, some hundred bytes each. Only those that were active in the last second need to be.
const MOST: u64 = 10_000;
/// Longest time a read may take: a store that does not answer must not hold up requests that may not even need it.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits by organization.
pub(super) struct OrgLimits {
    storage: Arc<dyn Storage>,
    /// By organization and generation: what was read before a change is not found after it, also where the read was
    /// under way meanwhile.
    limits: Cache<(OrgId, u64), OrgRateLimits>,
    /// Grows with every change of any organization: changes are rare, and reading again is cheap.
    generation: AtomicU64,
}

impl fmt::Debug for OrgLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrgLimits").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl OrgLimits {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            limits: Cache::builder().max_capacity(MOST).time_to_live(FRESH_FOR).build(),
            generation: AtomicU64::new(0),
        }
    }

    /// The limits an organization sets: none where it is not registered, or where the store does not answer. Of requests
    /// that need them at once one reads.
    pub(super) async fn of(&self, org_id: OrgId) -> OrgRateLimits {
        let generation = self.generation.load(Ordering::SeqCst);
        self.limits.get_with((org_id, generation), self.read(org_id)).await
    }

    async fn read(&self, org_id: OrgId) -> OrgRateLimits {
        match tokio::time::timeout(READ_TIMEOUT, self.storage.tenant(&Scope::org(org_id))).await {
            Ok(Ok(tenant)) => tenant.map(|tenant| tenant.org.config.rate_limits).unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::debug!(%error, %org_id, "an organization's rate limits could not be read");
                OrgRateLimits::default()
            }
            Err(_) => {
                tracing::debug!(%org_id, "reading an organization's rate limits took too long");
                OrgRateLimits::default()
            }
        }
    }

    /// Something changed, or may have.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}
