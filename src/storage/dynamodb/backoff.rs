//! Pauses between repetitions: growing, jittered, and bounded by count and by time.

use std::time::Duration;

use tokio::time::Instant;

use crate::storage::error::StorageError;

/// Most repetitions. With full jitter ten of them spread more than a hundred competitors for one item.
const MAX_REPETITIONS: u32 = 10;
/// Upper bound of the first pause; it doubles. About what a competitor's transaction takes.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Upper bound of every pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The repetitions of one piece of work.
#[derive(Debug)]
pub(super) struct Backoff {
    deadline: Instant,
    done: u32,
}

impl Backoff {
    /// Repetitions that begin within `limit` from now.
    pub(super) fn within(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, done: 0 }
    }

    /// Pauses before the next repetition.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] with `reason` where there may be no further one.
    pub(super) async fn pause(&mut self, reason: &str) -> Result<(), StorageError> {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.done.min(MAX_REPETITIONS)).min(LONGEST_PAUSE);
        let pause = jittered(longest);
        if self.done >= MAX_REPETITIONS || Instant::now() + pause >= self.deadline {
            return Err(StorageError::Unavailable(reason.to_owned()));
        }
        self.done += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A random part of a pause. It decides no outcome, only who of several tries first, so it need not be an argument.
fn jittered(longest: Duration) -> Duration {
    Duration::from_micros(fastrand::u64(0..=u64::try_from(longest.as_micros()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn repetitions_are_bounded_by_count() {
        let mut backoff = Backoff::within(Duration::from_secs(3_600));
        backoff.pause("x").await.unwrap();
        backoff.done = MAX_REPETITIONS;
        assert!(backoff.pause("too busy").await.unwrap_err().is_transient());
    }

    #[tokio::test]
    async fn repetitions_are_bounded_by_time() {
        let mut backoff = Backoff::within(Duration::ZERO);
        assert!(backoff.pause("too late").await.unwrap_err().is_transient());
    }
}
