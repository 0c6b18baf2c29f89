//! Time as an argument: the only place that reads the wall clock.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Tells the time, in whole milliseconds (what every store keeps).
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Time since some instant of the past, the same one while the process lives. Never goes back, whatever is done to
    /// the wall clock, so what waits for a duration to pass goes by this.
    fn monotonic(&self) -> Duration;
}

/// What the operating system's monotonic clock is measured from.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        truncate_to_millis(Timestamp::now())
    }

    fn monotonic(&self) -> Duration {
        STARTED.elapsed()
    }
}

/// A clock that shows what it is told, for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    /// Milliseconds since the epoch.
    now: AtomicI64,
    /// Milliseconds that passed: the sum of all steps forward. A step backward takes no time.
    passed: AtomicU64,
}

impl ManualClock {
    /// A clock showing `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.as_millisecond()), passed: AtomicU64::new(0) }
    }

    /// Moves to `now`, forward or backward.
    pub fn set(&self, now: Timestamp) {
        let now = now.as_millisecond();
        let before = self.now.swap(now, Ordering::SeqCst);
        let step = u64::try_from(now.saturating_sub(before)).unwrap_or(0);
        self.passed.fetch_add(step, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // Only milliseconds of a valid timestamp are ever stored, so the conversion cannot fail.
        Timestamp::from_millisecond(self.now.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }
}

/// Drops everything below a millisecond.
#[must_use]
pub fn truncate_to_millis(instant: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(instant.as_millisecond()).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_passed_never_goes_back_with_the_wall_clock() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let clock = ManualClock::at(at(1_000));
        clock.set(at(1_010));
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
        clock.set(at(5));
        assert_eq!((clock.now(), clock.monotonic()), (at(5), Duration::from_secs(10)));
        clock.set(at(7));
        assert_eq!(clock.monotonic(), Duration::from_secs(12));
    }
}
