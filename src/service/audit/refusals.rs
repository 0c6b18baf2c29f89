//! Refusals of callers who proved nothing, on their way into the audit trail.
//!
//! Whoever can reach the service can cause them, as many as they like, so they must neither fill the store nor make it
//! the bottleneck of everybody else's logins: they are stored up to a rate and counted beyond it. They are written
//! beside the requests they belong to, because waiting for a write would tell by its duration, or by its failure, what
//! the answer does not say.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::log;
use crate::clock::Clock;
use crate::domain::audit::{AuditAction, AuditActor, AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::ids::ClientId;
use crate::ids::Random;
use crate::service::access::Origin;
use crate::service::rate_limits::MonotonicClock;
use crate::storage::{Storage, StorageError};

/// So many are stored at once, and so many in each minute after that: at most twice as many, 60, in any minute. Some
/// ten megabytes a day at worst, and far below what a store takes beside its work.
const STORED_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// Events that wait for the store. More than are let through while it answers within its time-outs.
const QUEUE_CAPACITY: usize = 128;
/// Longest time one event may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time to write what waits when the process goes down: well within the grace period of orchestrators.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the log says that events are left out.
const SAID_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Why an event is not stored.
#[derive(Debug, Clone, Copy)]
enum LeftOut {
    /// Too many of them.
    Rate,
    /// The store does not keep up.
    Queue,
    /// The store, or randomness, failed.
    Failure,
}

impl LeftOut {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Queue => "queue",
            Self::Failure => "failure",
        }
    }
}

/// What was left out since the log last said so, and when that was.
#[derive(Debug, Default)]
struct Unsaid {
    events: u64,
    said_at: Option<Timestamp>,
}

/// Counts what is left out, and says so from time to time.
#[derive(Debug)]
struct Suppression {
    clock: Arc<dyn Clock>,
    unsaid: Mutex<Unsaid>,
}

impl Suppression {
    fn count(&self, why: LeftOut) {
        metrics::counter!("audit_events_suppressed_total", "reason" => why.as_str()).increment(1);
        let now = self.clock.now();
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.events += 1;
        let due = unsaid.said_at.is_none_or(|said_at| now.duration_since(said_at).abs() >= SAID_EVERY);
        if due {
            self.say(&mut unsaid, now);
        }
    }

    fn say_the_rest(&self) {
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        if unsaid.events > 0 {
            self.say(&mut unsaid, self.clock.now());
        }
    }

    fn say(&self, unsaid: &mut Unsaid, now: Timestamp) {
        let events = std::mem::take(&mut unsaid.events);
        unsaid.said_at = Some(now);
        tracing::warn!(target: "audit", events, "refusals of unknown callers were counted and not stored");
    }
}

/// The queue of refusals in front of the store, with one task that writes them.
pub struct Refusals {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Nanos>>,
    events: mpsc::Sender<AuditEvent>,
    suppression: Arc<Suppression>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").field("room", &self.events.capacity()).finish_non_exhaustive()
    }
}

impl Refusals {
    /// Starts the queue; needs a tokio runtime.
    #[must_use]
    pub fn start(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (events, receiver) = mpsc::channel(QUEUE_CAPACITY);
        let suppression = Arc::new(Suppression { clock: Arc::clone(&clock), unsaid: Mutex::default() });
        let limiter =
            RateLimiter::direct_with_clock(Quota::per_minute(STORED_PER_MINUTE), MonotonicClock(Arc::clone(&clock)));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(write(storage, receiver, Arc::clone(&suppression), stop.clone()));
        Self { clock, random, limiter, events, suppression, stop, tasks }
    }

    /// Notes a refusal, without waiting for anything.
    pub(super) fn note(&self, action: AuditAction, claimed: Option<&ClientId>, origin: &Origin) {
        if self.limiter.check().is_err() {
            return self.suppression.count(LeftOut::Rate);
        }
        let Ok(id) = self.random.uuid() else { return self.suppression.count(LeftOut::Failure) };
        let event = AuditEvent {
            position: AuditPosition { at: self.clock.now(), id },
            actor: AuditActor::Anonymous,
            action,
            outcome: AuditOutcome::Refused,
            target: claimed.map(|client_id| client_id.0.clone()),
            subject: claimed.map(ToString::to_string),
            before: None,
            after: None,
            request_id: origin.request_id.clone(),
            address: origin.address,
        };
        log(&event);
        if self.events.try_send(event).is_err() {
            self.suppression.count(LeftOut::Queue);
        }
    }

    /// Takes no further ones, writes those that wait, and returns when that is done or took too long.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(FLUSH_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("not every refusal that waited for the audit trail could be stored");
        }
        self.suppression.say_the_rest();
    }
}

/// Writes events one after the other until it is stopped and the queue is empty.
async fn write(
    storage: Arc<dyn Storage>,
    mut events: mpsc::Receiver<AuditEvent>,
    suppression: Arc<Suppression>,
    stop: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = stop.cancelled() => {
                events.close();
                events.recv().await
            }
        };
        let Some(event) = event else { return };
        let written = tokio::time::timeout(WRITE_TIMEOUT, storage.append_audit(&event)).await;
        if let Err(error) = written.unwrap_or_else(|_| Err(StorageError::Unavailable("it took too long".to_owned()))) {
            tracing::warn!(%error, event_id = %event.position.id, "a refusal could not be stored in the audit trail");
            suppression.count(LeftOut::Failure);
        }
    }
}
