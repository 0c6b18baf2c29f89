//! Limits of what a caller may ask for in a minute, and of how often somebody may fail to prove who they are.
//!
//! Every limit is a bucket (GCRA) that holds as many permits as a minute allows and fills evenly, so a caller may
//! use a minute's worth at once and then goes on at the rate of the limit. Buckets live in this process alone: several
//! instances together allow as many times as much.

mod bucket;
mod buckets;
mod logins;
mod org_limits;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use self::bucket::MonotonicClock;
pub use self::bucket::Standing;
use self::buckets::Buckets;
use self::logins::FailedLogins;
pub use self::logins::{Attempt, Throttled};
use self::org_limits::OrgLimits;
use super::access::Identity;
use crate::clock::Clock;
use crate::domain::ids::ClientId;
use crate::domain::rate_limits::{FailedLoginLimits, RateLimitGroup, RateLimits};
use crate::storage::Storage;

/// Whose requests share a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A client.
    Client(ClientId),
    /// A provisioning key, by its id.
    Key(String),
}

impl From<&Identity> for Subject {
    fn from(identity: &Identity) -> Self {
        match identity {
            Identity::Administrator { key_id } => Self::Key(key_id.clone()),
            Identity::Client(claims) => Self::Client(claims.client_id().clone()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client_id) => client_id.fmt(f),
            Self::Key(key_id) => write!(f, "key:{key_id}"),
        }
    }
}

/// Counts requests and failed logins against their limits.
#[derive(Debug)]
pub struct RateLimiter {
    limits: RateLimits,
    org_limits: OrgLimits,
    /// Of callers who proved who they are.
    callers: Buckets,
    /// Of client ids that are only claimed. Apart, so that whoever claims ids by the million displaces no caller.
    claims: Buckets,
    failed_logins: FailedLogins,
}

impl RateLimiter {
    /// With these limits, where an organization sets none.
    #[must_use]
    pub fn new(
        limits: RateLimits,
        failed_logins: FailedLoginLimits,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            limits,
            org_limits: OrgLimits::new(storage),
            callers: Buckets::new(Arc::clone(&clock)),
            claims: Buckets::new(Arc::clone(&clock)),
            failed_logins: FailedLogins::new(failed_logins, clock),
        }
    }

    /// Counts a request of a group, and answers how the caller stands.
    pub async fn check(&self, group: RateLimitGroup, subject: Subject) -> Standing {
        let limit = self.limit(group, &subject).await;
        counted(group, self.buckets(group).take(group, subject, limit).await)
    }

    /// Answers how a caller would stand, without counting a request.
    pub async fn look(&self, group: RateLimitGroup, subject: Subject) -> Standing {
        let limit = self.limit(group, &subject).await;
        counted(group, self.buckets(group).look(group, subject, limit).await)
    }

    async fn limit(&self, group: RateLimitGroup, subject: &Subject) -> u32 {
        let own = match subject {
            Subject::Client(client_id) => self.org_limits.of(client_id.0.org_id).await.of(group),
            Subject::Key(_) => None,
        };
        own.unwrap_or_else(|| self.limits.of(group))
    }

    fn buckets(&self, group: RateLimitGroup) -> &Buckets {
        match group {
            RateLimitGroup::Token | RateLimitGroup::Refresh => &self.claims,
            _ => &self.callers,
        }
    }

    /// Begins a login from an address, for a client id that is claimed later, if at all.
    ///
    /// # Errors
    /// [`Throttled`] where too many logins from there failed.
    pub async fn login_from(&self, address: Option<IpAddr>) -> Result<Attempt, Throttled> {
        self.failed_logins.login_from(address).await.inspect_err(|_| refused("failed_logins_per_address"))
    }

    /// Goes on with a login, for a client id.
    ///
    /// # Errors
    /// [`Throttled`] where too many logins for the id failed, whether or not there is such a client.
    pub async fn login_as(&self, attempt: Attempt, client_id: &ClientId) -> Result<Attempt, Throttled> {
        self.failed_logins.login_as(attempt, client_id).await.inspect_err(|_| refused("failed_logins_per_client"))
    }

    /// Begins to check a provisioning key that was sent from an address.
    ///
    /// # Errors
    /// [`Throttled`] where too many from there were wrong.
    pub async fn key_from(&self, address: Option<IpAddr>) -> Result<Attempt, Throttled> {
        self.failed_logins.key_from(address).await.inspect_err(|_| refused("wrong_keys_per_address"))
    }

    /// An organization's configuration changed, or may have: its limits are read again before they are used.
    pub(super) fn org_changed(&self) {
        self.org_limits.changed();
    }
}

/// Counts a refusal, where it is one.
fn counted(group: RateLimitGroup, standing: Standing) -> Standing {
    if standing.is_refused() {
        refused(group.as_str());
    }
    standing
}

fn refused(group: &'static str) {
    metrics::counter!("rate_limited_total", "group" => group).increment(1);
}
