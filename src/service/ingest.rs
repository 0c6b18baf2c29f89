//! The one way into the usage ledger: a bounded queue with group commit.
//!
//! A lone submission on an idle server is committed at once; no timer waits for company. While a commit is under way
//! further submissions queue up, and the next commit takes all of them (up to the store's batch size), so the cost of
//! a durable commit is shared exactly when there is something to share it.
//!
//! The queue is bounded in *submissions*: a full queue refuses at once instead of letting callers time out. A caller
//! that disconnects does not stop its submission: it is committed, or refused, like any other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::ServiceError;
use crate::domain::pricing::PricingStatus;
use crate::domain::usage::UsageRecord;
use crate::storage::{IngestLimits, RecordOutcome, Storage, StorageError};

/// Longest time one commit may take before its callers are told to come back. Below the request time-out, so that a
/// caller gets the answer; a commit that succeeds after all makes the repeat a duplicate.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Submissions of one caller, committed together.
struct Job {
    records: Vec<UsageRecord>,
    reply: oneshot::Sender<Result<Vec<RecordOutcome>, StorageError>>,
    /// Room in the queue, given back once the job is answered.
    _room: Room,
}

/// Places in the queue, as the metrics show them.
struct Room(OwnedSemaphorePermit);

impl Room {
    fn new(permits: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("ingest_queue_submissions").increment(in_gauge(permits.num_permits()));
        Self(permits)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        metrics::gauge!("ingest_queue_submissions").decrement(in_gauge(self.0.num_permits()));
    }
}

fn in_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Handle to the queue.
#[derive(Debug, Clone)]
pub struct Ingest {
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Ingest {
    /// Starts the queue in front of a store, with room for `capacity` submissions (at least one caller's batch).
    #[must_use]
    pub fn start(storage: Arc<dyn Storage>, capacity: usize) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let capacity = capacity.clamp(100, Semaphore::MAX_PERMITS);
        metrics::gauge!("ingest_queue_capacity").set(in_gauge(capacity));
        // The semaphore bounds the channel: nothing is sent without room for every record of the job.
        let ingest = Self {
            jobs: sender,
            room: Arc::new(Semaphore::new(capacity)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        ingest.tasks.spawn(run(storage, receiver, ingest.stop.clone(), ingest.tasks.clone()));
        ingest
    }

    /// Commits submissions and answers one outcome per record, in order.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the queue is full, the store cannot commit or the process is going down:
    /// nothing was counted, or a repeat reports what was as duplicates.
    pub async fn submit(&self, records: Vec<UsageRecord>) -> Result<Vec<RecordOutcome>, ServiceError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let refused = |why: &str| {
            metrics::counter!("ingest_refused_total").increment(1);
            ServiceError::Unavailable(why.to_owned())
        };
        let wanted = u32::try_from(records.len()).map_err(|_| refused("the batch is too large"))?;
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(wanted).map_err(|_| refused("the ingest queue is full"))?;
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job { records, reply, _room: Room::new(room) })
            .map_err(|_| refused("the service is shutting down"))?;
        match answer.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(ServiceError::Unavailable("the commit was given up".to_owned())),
        }
    }

    /// Refuses further submissions, commits those already queued and returns when all are answered.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Groups jobs and commits the groups, never more at once than the store likes.
async fn run(
    storage: Arc<dyn Storage>,
    mut receiver: mpsc::UnboundedReceiver<Job>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let limits = storage.ingest_limits();
    let slots = Arc::new(Semaphore::new(limits.concurrency.max(1)));
    loop {
        // A free slot first, then the group: what arrives while all slots are busy joins the next group.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let first = tokio::select! {
            biased;
            job = receiver.recv() => job,
            () = stop.cancelled() => {
                receiver.close();
                receiver.recv().await
            }
        };
        let Some(first) = first else { return };
        let group = fill_group(first, &mut receiver, limits);
        let storage = Arc::clone(&storage);
        tasks.spawn(async move {
            commit(storage.as_ref(), group).await;
            drop(slot);
        });
    }
}

/// The jobs that are committed together: whole jobs only, at most the store's batch size unless one job alone is
/// larger (a caller's batch is never split).
fn fill_group(first: Job, receiver: &mut mpsc::UnboundedReceiver<Job>, limits: IngestLimits) -> Vec<Job> {
    let mut size = first.records.len();
    let mut group = vec![first];
    // 100 is the largest batch of one caller, so a group that still has room for it can take any next job.
    while size + 100 <= limits.max_batch {
        let Ok(job) = receiver.try_recv() else { break };
        size += job.records.len();
        group.push(job);
    }
    group
}

async fn commit(storage: &dyn Storage, group: Vec<Job>) {
    let started = Instant::now();
    let (mut batches, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|job| (job.records, (job.reply, job._room))).unzip();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    let joined: Vec<UsageRecord> = batches.iter_mut().flat_map(std::mem::take).collect();
    metrics::histogram!("ingest_group_size").record(u32::try_from(joined.len()).unwrap_or(u32::MAX));

    match record(storage, &joined).await {
        Ok(outcomes) => {
            metrics::histogram!("ingest_commit_duration_seconds").record(started.elapsed().as_secs_f64());
            let mut outcomes = outcomes.into_iter();
            for ((reply, _room), size) in replies.into_iter().zip(sizes) {
                // The caller may have gone; its submission is committed all the same.
                let _ = reply.send(Ok(outcomes.by_ref().take(size).collect()));
            }
        }
        Err(error) => {
            tracing::warn!(%error, submissions = joined.len(), "a group of submissions was not committed");
            metrics::counter!("ingest_commit_failures_total").increment(1);
            let not_committed = || StorageError::Unavailable("the store did not commit".to_owned());
            // A failure that is not the store's condition may come from one job: the others get their own try.
            let mut try_alone = replies.len() > 1 && !error.is_transient();
            let mut rest = joined.into_iter();
            for ((reply, _room), size) in replies.into_iter().zip(sizes) {
                let records: Vec<UsageRecord> = rest.by_ref().take(size).collect();
                let answer = if try_alone {
                    record(storage, &records).await.map_err(|error| {
                        tracing::warn!(%error, submissions = size, "submissions were not committed alone either");
                        try_alone = !error.is_transient();
                        not_committed()
                    })
                } else {
                    Err(not_committed())
                };
                let _ = reply.send(answer);
            }
        }
    }
}

async fn record(storage: &dyn Storage, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>, StorageError> {
    let outcomes = tokio::time::timeout(COMMIT_TIMEOUT, storage.record_usage(records))
        .await
        .map_err(|_| StorageError::Unavailable("the store did not commit in time".to_owned()))??;
    if outcomes.len() != records.len() {
        return Err(StorageError::Corrupt("the store answered another number of outcomes than records".to_owned()));
    }
    count(records, &outcomes);
    Ok(outcomes)
}

/// One step of each counter, however many records there are: each look-up of a counter with labels costs.
fn count(records: &[UsageRecord], outcomes: &[RecordOutcome]) {
    let (mut accepted, mut duplicate, mut conflict, mut overflow, mut unpriced) = (0, 0, 0, 0, 0);
    for (record, outcome) in records.iter().zip(outcomes) {
        match outcome {
            RecordOutcome::Accepted(_) => {
                accepted += 1;
                unpriced += u64::from(record.pricing.status == PricingStatus::Unpriced);
            }
            RecordOutcome::Duplicate(..) => duplicate += 1,
            RecordOutcome::Conflict => conflict += 1,
            RecordOutcome::Overflow => overflow += 1,
        }
    }
    let outcomes = [("accepted", accepted), ("duplicate", duplicate), ("conflict", conflict), ("overflow", overflow)];
    // A counter with labels is there once it has counted.
    for (word, times) in outcomes.into_iter().filter(|(_, times)| *times > 0) {
        metrics::counter!("submissions_total", "outcome" => word).increment(times);
    }
    if unpriced > 0 {
        metrics::counter!("submissions_unpriced_total").increment(unpriced);
    }
}
