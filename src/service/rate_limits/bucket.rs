//! One bucket: governor's GCRA on the service's monotonic clock, with a way to give a permit back.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// The service's monotonic clock as governor reads it: a wall clock that is set back locks nobody out.
#[derive(Debug, Clone)]
pub(crate) struct MonotonicClock(pub(crate) Arc<dyn Clock>);

impl governor::clock::Clock for MonotonicClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        // Centuries fit.
        Nanos::new(u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(u64::MAX / 2))
    }
}

/// When the bucket is full again, counted from the limiter's start. Shared with the limiter, which keeps its state to
/// itself.
#[derive(Debug, Clone, Default)]
struct FullAt(Arc<InMemoryState>);

impl StateStore for FullAt {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

/// How somebody stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests allowed in a minute.
    pub limit: u32,
    /// Requests that are left now.
    pub remaining: u32,
    /// When all of them are there again.
    pub full_in: Duration,
    /// When one is there again, where this one was refused.
    pub retry_in: Option<Duration>,
}

impl Standing {
    /// Whether the request was refused.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.retry_in.is_some()
    }
}

/// Permits that come back evenly, as many in a minute as there is room for.
pub(super) struct Bucket {
    limit: NonZeroU32,
    /// Time in which one permit comes back.
    interval: Nanos,
    full_at: FullAt,
    start: Nanos,
    limiter: RateLimiter<NotKeyed, FullAt, MonotonicClock, StateInformationMiddleware>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("limit", &self.limit).field("full_at", &self.full_at).finish_non_exhaustive()
    }
}

impl Bucket {
    /// A full bucket. A limit of 0, which no configuration has, counts as 1.
    pub(super) fn new(per_minute: u32, clock: Arc<dyn Clock>) -> Self {
        let limit = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(limit);
        let (clock, full_at) = (MonotonicClock(clock), FullAt::default());
        Self {
            limit,
            interval: quota.replenish_interval().into(),
            full_at: full_at.clone(),
            start: clock.now(),
            limiter: RateLimiter::new(quota, full_at, clock),
        }
    }

    /// Takes a permit, if there is one.
    pub(super) fn take(&self) -> Standing {
        let taken = self.limiter.check();
        let full_in = Duration::from(self.full_in());
        let (remaining, retry_in) = match taken {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => (0, Some(until.wait_time_from(self.limiter.clock().now()))),
        };
        Standing { limit: self.limit.get(), remaining, full_in, retry_in }
    }

    /// How the next one would stand who takes a permit, without taking it.
    pub(super) fn look(&self) -> Standing {
        let full_in = self.full_in();
        let others = self.interval * u64::from(self.limit.get() - 1);
        // With all permits taken but one there is room; beyond it, for as long as it is exceeded, there is not.
        let retry_in = full_in.saturating_sub(others);
        let remaining = (self.interval + others).saturating_sub(full_in) / self.interval;
        Standing {
            limit: self.limit.get(),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            full_in: full_in.into(),
            retry_in: (retry_in > Nanos::default()).then(|| retry_in.into()),
        }
    }

    /// Time since the limiter's start.
    pub(super) fn now(&self) -> Nanos {
        self.limiter.clock().now().duration_since(self.start)
    }

    /// The instant the bucket is full again, as [`now`](Self::now) counts.
    pub(super) fn full_at(&self) -> Nanos {
        // An error leaves the state as it is.
        let read = self.full_at.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>);
        read.err().flatten().unwrap_or_default()
    }

    fn full_in(&self) -> Nanos {
        self.full_at().saturating_sub(self.now())
    }

    /// Gives back a permit after which the bucket was to be full at `full_at`.
    ///
    /// Time since then has given a part of it back already where the bucket was otherwise full, and that part must not
    /// come back twice. So what is given back is what is left of the time that this permit takes, at most.
    pub(super) fn give_back(&self, full_at: Nanos) {
        let back = self.interval.min(full_at.saturating_sub(self.now()));
        // Without a state the bucket is full, and nothing is to be done.
        let _ = self
            .full_at
            .measure_and_replace(&NotKeyed::NonKey, |at| at.map(|at| ((), at.saturating_sub(back))).ok_or(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use jiff::Timestamp;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    fn bucket(per_minute: u32) -> (Bucket, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(at(0)));
        (Bucket::new(per_minute, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    #[test]
    fn exactly_a_minutes_worth_passes_at_once_and_then_one_in_each_interval() {
        for limit in [1, 7, 10, 60_000] {
            let (bucket, clock) = bucket(limit);
            for taken in 1..=limit {
                assert!(!bucket.look().is_refused(), "{limit}");
                let standing = bucket.take();
                assert_eq!((standing.remaining, standing.is_refused()), (limit - taken, false), "{limit}");
                assert_eq!(bucket.look().remaining, standing.remaining, "{limit}");
            }
            let (looked, refused) = (bucket.look(), bucket.take());
            assert_eq!(looked, refused, "{limit}");
            let wait = refused.retry_in.unwrap();
            assert_eq!((refused.remaining, wait), (0, Duration::from(bucket.interval)), "{limit}");
            assert!(refused.full_in <= Duration::from_secs(60) && refused.full_in > Duration::from_secs(59));
            // The manual clock has milliseconds.
            let wait = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap();
            clock.set(at(wait - 1));
            assert!(bucket.take().is_refused(), "{limit}");
            clock.set(at(wait));
            assert!(!bucket.take().is_refused() && bucket.take().is_refused(), "{limit}");
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_back_locks_nobody_out() {
        let (bucket, clock) = bucket(10);
        while !bucket.take().is_refused() {}
        clock.set(at(-86_400_000));
        assert_eq!(bucket.take().retry_in, Some(Duration::from_secs(6)));
        clock.set(at(-86_400_000 + 6_000));
        assert!(!bucket.take().is_refused());
    }

    #[test]
    fn a_permit_given_back_at_once_was_never_taken() {
        let (bucket, _clock) = bucket(10);
        for _ in 0..1_000 {
            assert!(!bucket.take().is_refused());
            bucket.give_back(bucket.full_at());
        }
        assert_eq!((bucket.take().remaining, bucket.full_in()), (9, bucket.interval));
    }

    #[test]
    fn time_and_its_owner_do_not_both_give_a_permit_back() {
        let (bucket, clock) = bucket(10);
        bucket.take();
        let first = bucket.full_at();
        // Time gave it back; meanwhile another one was taken, and stays taken.
        clock.set(at(6_000));
        bucket.take();
        bucket.give_back(first);
        assert_eq!(bucket.take().remaining, 8);
        // Half of it came back with time, so only the other half is left to give.
        let (bucket, clock) = self::bucket(10);
        bucket.take();
        let first = bucket.full_at();
        clock.set(at(3_000));
        bucket.take();
        bucket.give_back(first);
        assert_eq!(Duration::from(bucket.full_in()), Duration::from_secs(6));
    }
}
