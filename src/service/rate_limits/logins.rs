//! Failed logins: counted by client id and by address, successes not at all.
//!
//! Whether a login fails is known at its end, and by then a thousand others may be under way. So each takes a permit
//! before anything is verified, and one that did not fail gives it back. Where all permits are taken by logins under way,
//! the next waits for their outcome, so that many good ones at once are not taken for bad ones.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use governor::nanos::Nanos;
use moka::future::Cache;
use tokio::sync::Notify;

use super::bucket::{Bucket, Standing};
use super::buckets::{IDLE, MOST};
use crate::clock::Clock;
use crate::domain::ids::ClientId;
use crate::domain::rate_limits::FailedLoginLimits;

/// How long a throttle that was reported is not reported again.
const REPORTED_FOR: Duration = Duration::from_secs(60);

/// Where an attempt came from: an IPv4 address, or an IPv6 /64, because that is the least that one customer gets and
/// within it addresses are free. Attempts from nowhere share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place(Option<IpAddr>);

impl Place {
    fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        }))
    }
}

/// What failures are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum CountedBy {
    Client(ClientId),
    LoginsFrom(Place),
    KeysFrom(Place),
}

/// Failures, and attempts that may become some.
#[derive(Debug)]
struct Failures {
    bucket: Bucket,
    under_way: AtomicUsize,
    settled: Notify,
    /// Nanoseconds on the bucket's clock until which a throttle counts as reported.
    reported_until: AtomicU64,
}

impl Failures {
    async fn attempt(self: Arc<Self>) -> Result<Permit, Throttled> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // From here on a settlement is not missed.
            settled.as_mut().enable();
            // Before the permit, so that nobody sees all permits taken and no attempt under way.
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let standing = self.bucket.take();
            if !standing.is_refused() {
                let full_at = self.bucket.full_at();
                return Ok(Permit { failures: Arc::clone(&self), full_at });
            }
            if self.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
                // Whoever took this one for an attempt under way waits for nothing now.
                self.settled.notify_waiters();
                return Err(Throttled { standing, is_news: self.is_news() });
            }
            // Ends with the attempts under way, each of which is bounded by the time a request may take.
            settled.await;
        }
    }

    /// Whether this throttle was not reported yet, within a minute. Says so to one caller only.
    fn is_news(&self) -> bool {
        let now = self.bucket.now().as_u64();
        let until = self.reported_until.load(Ordering::SeqCst);
        let next = Nanos::from(REPORTED_FOR).as_u64().saturating_add(now);
        // Never reported is 0, which may be now.
        (until == 0 || now >= until)
            && self.reported_until.compare_exchange(until, next, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A permit of one counter. Stays taken when it is dropped.
#[derive(Debug)]
struct Permit {
    failures: Arc<Failures>,
    full_at: Nanos,
}

impl Permit {
    fn give_back(self) {
        self.failures.bucket.give_back(self.full_at);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.failures.under_way.fetch_sub(1, Ordering::SeqCst);
        self.failures.settled.notify_waiters();
    }
}

/// A login under way. Counts as failed unless it is said that it did not; so does one whose caller went away, or one could
/// guess for free by not waiting for the answer.
#[must_use = "an attempt that is dropped counts as failed"]
#[derive(Debug)]
pub struct Attempt {
    permits: Vec<Permit>,
}

impl Attempt {
    /// The login did not fail: it succeeded, or nothing was verified. Answers how the id stands now, or the address where
    /// no id is known.
    pub fn did_not_fail(self) -> Option<Standing> {
        let failures = self.permits.last().map(|permit| Arc::clone(&permit.failures));
        for permit in self.permits {
            permit.give_back();
        }
        failures.map(|failures| failures.bucket.look())
    }

    /// The login failed. Answers the same.
    pub fn failed(self) -> Option<Standing> {
        self.permits.last().map(|permit| permit.failures.bucket.look())
    }
}

/// Too many attempts failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// How the id or address stands.
    pub standing: Standing,
    /// Whether nobody was told within the last minute.
    pub is_news: bool,
}

/// Failed logins by client id and by address, and wrong provisioning keys by address.
#[derive(Debug)]
pub(super) struct FailedLogins {
    limits: FailedLoginLimits,
    clock: Arc<dyn Clock>,
    /// As many as there are buckets of callers. Ids and addresses beyond it are counted anew, which takes a caller with
    /// more addresses than any.
    failures: Cache<CountedBy, Arc<Failures>>,
}

impl FailedLogins {
    pub(super) fn new(limits: FailedLoginLimits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, failures: Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build() }
    }

    pub(super) async fn login_from(&self, address: Option<IpAddr>) -> Result<Attempt, Throttled> {
        let permit = self.permit(CountedBy::LoginsFrom(Place::of(address)), self.limits.per_address).await?;
        Ok(Attempt { permits: vec![permit] })
    }

    /// Always after the address: an attempt that waits for an id's permit holds one of its address, never the other way
    /// round, so no two attempts wait for each other.
    pub(super) async fn login_as(&self, mut attempt: Attempt, client_id: &ClientId) -> Result<Attempt, Throttled> {
        match self.permit(CountedBy::Client(client_id.clone()), self.limits.per_client).await {
            Ok(permit) => {
                attempt.permits.push(permit);
                Ok(attempt)
            }
            Err(throttled) => {
                // Nothing is verified, so nothing failed.
                attempt.did_not_fail();
                Err(throttled)
            }
        }
    }

    pub(super) async fn key_from(&self, address: Option<IpAddr>) -> Result<Attempt, Throttled> {
        let permit = self.permit(CountedBy::KeysFrom(Place::of(address)), self.limits.per_address).await?;
        Ok(Attempt { permits: vec![permit] })
    }

    async fn permit(&self, by: CountedBy, limit: u32) -> Result<Permit, Throttled> {
        let new = async {
            Arc::new(Failures {
                bucket: Bucket::new(limit, Arc::clone(&self.clock)),
                under_way: AtomicUsize::new(0),
                settled: Notify::new(),
                reported_until: AtomicU64::new(0),
            })
        };
        self.failures.get_with(by, new).await.attempt().await
    }
}

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;
