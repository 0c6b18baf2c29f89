//! What is tried again after a failure, how often and how long.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::time::{Instant, sleep, timeout_at};

use super::PostgresStorage;
use super::session::{Mode, Session};
use crate::storage::contract::Result;
use crate::storage::error::StorageError;
use crate::storage::sql::error::{is_passing, translate};

/// Pauses before the second and the third attempt, the last one. A deadlock is over at once and a dropped connection is
/// replaced at once; whatever takes longer is better answered with "unavailable" than waited for in a queue.
const PAUSES: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(200)];
/// How much later than the server an attempt is given up here: its own answer leaves the connection usable.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whether an operation may be attempted again although it may have been committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Yes: doing it twice comes to the same, and so does the answer.
    Freely,
    /// No: the second answer would be about what the first attempt did.
    UnlessCommitted,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    error: StorageError,
    /// Whether another attempt may succeed.
    passing: bool,
    /// Whether the server said that it refused: then it committed nothing.
    answered: bool,
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self { error, passing: false, answered: true }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let (passing, answered) = match (&error, refusal) {
            // A fatal one is the end of the connection, which may come after a commit.
            (_, Some(refusal)) => (is_passing(refusal), refusal.severity() == PgSeverity::Error),
            (sqlx::Error::PoolClosed, _) => (false, true),
            _ => (translate(&error).is_transient(), false),
        };
        Self { error: translate(&error), passing, answered }
    }
}

/// How long an operation may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Each attempt, from when it has a connection.
    attempt: Duration,
    /// All attempts, with the waits for connections and between them.
    deadline: Instant,
}

impl PostgresStorage {
    /// Attempts of at most `attempt` each, which together take no longer than a wait for a connection and one attempt.
    pub(super) fn limits(&self, attempt: Duration) -> Limits {
        Limits { attempt, deadline: Instant::now() + self.options.acquire_timeout + attempt + PATIENCE }
    }

    /// The limits of an operation that somebody waits for.
    pub(super) fn prompt(&self) -> Limits {
        self.limits(self.options.statement_timeout)
    }

    /// One statement that only reads, or that may be repeated.
    pub(super) async fn statement<T, F, W>(&self, work: F) -> Result<T>
    where
        F: Fn(Session) -> W,
        W: Future<Output = Result<T, Failure>>,
    {
        self.run(Mode::Statement, Repeat::Freely, self.prompt(), work).await
    }

    /// Statements that take effect together.
    pub(super) async fn transaction<T, F, W>(&self, repeat: Repeat, work: F) -> Result<T>
    where
        F: Fn(Session) -> W,
        W: Future<Output = Result<T, Failure>>,
    {
        self.run(Mode::Transaction, repeat, self.prompt(), work).await
    }

    /// Does a piece of work, which ends with [`Session::commit`], in as few attempts as it takes.
    pub(super) async fn run<T, F, W>(&self, mode: Mode, repeat: Repeat, limits: Limits, work: F) -> Result<T>
    where
        F: Fn(Session) -> W,
        W: Future<Output = Result<T, Failure>>,
    {
        let mut pauses = PAUSES.into_iter();
        loop {
            let committing = Arc::new(AtomicBool::new(false));
            let failure = match self.attempt(mode, &committing, limits, &work).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.passing && !failure.answered {
                self.note_loss();
            }
            let doubtful = committing.load(Ordering::Relaxed) && !failure.answered;
            if !failure.passing || (doubtful && repeat == Repeat::UnlessCommitted) {
                return Err(failure.error);
            }
            let pause = pauses.next().map(jittered).filter(|pause| Instant::now() + *pause < limits.deadline);
            let Some(pause) = pause else {
                return Err(failure.error);
            };
            sleep(pause).await;
        }
    }

    async fn attempt<T, F, W>(
        &self,
        mode: Mode,
        committing: &Arc<AtomicBool>,
        limits: Limits,
        work: &F,
    ) -> Result<T, Failure>
    where
        F: Fn(Session) -> W,
        W: Future<Output = Result<T, Failure>>,
    {
        let Limits { attempt, deadline } = limits;
        let too_late = |_| Failure {
            error: StorageError::Unavailable("the server did not answer in time".to_owned()),
            passing: true,
            answered: false,
        };
        let session = timeout_at(deadline, self.session(mode, attempt, committing)).await.map_err(too_late)??;
        let until = deadline.min(Instant::now() + attempt + PATIENCE);
        timeout_at(until, work(session)).await.map_err(too_late)?
    }
}

/// Between half of a pause and all of it, so that those who failed together do not meet again. It decides no outcome, so
/// the randomness need not be an argument.
fn jittered(pause: Duration) -> Duration {
    let parts = u32::try_from(RandomState::new().hash_one(()) % 128).unwrap_or_default();
    pause / 2 + pause / 256 * parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::storage::options::PostgresOptions;

    /// A store whose server cannot be reached.
    fn unreachable() -> PostgresStorage {
        let options = PostgresOptions { acquire_timeout: Duration::from_secs(1), ..PostgresOptions::default() };
        PostgresStorage::new("postgres://x@127.0.0.1:9/x", &options).unwrap()
    }

    #[test]
    fn a_pause_is_jittered_in_its_upper_half() {
        for pause in PAUSES {
            for _ in 0..100 {
                let jittered = jittered(pause);
                assert!(jittered >= pause / 2 && jittered <= pause, "{jittered:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_has_no_connection_is_given_up_before_the_work_began_and_in_time() {
        let (storage, begun) = (unreachable(), AtomicU32::new(0));
        let begin = Instant::now();
        let result = storage.transaction(Repeat::UnlessCommitted, |session| {
            begun.fetch_add(1, Ordering::Relaxed);
            session.commit(())
        });
        assert!(result.await.unwrap_err().is_transient());
        assert_eq!(begun.load(Ordering::Relaxed), 0);
        assert!(begin.elapsed() < Duration::from_secs(6));
    }

    #[test]
    fn a_lost_connection_may_be_tried_again_and_a_decision_may_not() {
        let lost: Failure = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into();
        assert!(lost.passing && !lost.answered);
        let decided: Failure = StorageError::Conflict.into();
        assert!(!decided.passing && decided.answered);
        let closed: Failure = sqlx::Error::PoolClosed.into();
        assert!(!closed.passing && closed.error.is_transient());
        let untrusted: Failure = sqlx::Error::Io(std::io::ErrorKind::InvalidData.into()).into();
        assert!(!untrusted.passing);
    }
}
