//! What is behind opaque inference profiles: asked of AWS once and remembered.
//!
//! * **Single-flight**: however many submissions name a profile at once, one call is made for it.
//! * **Expiring**: an answer is kept for [`KNOWN_FOR`], because a profile's models never change while it exists and only
//!   a deleted one could come back as another; a failure for [`FAILED_FOR`], so that a missing permission or an outage
//!   costs one call a minute and is over within a minute of being mended.
//! * **Stale rather than nothing**: where an expired answer cannot be renewed, it goes on being used.
//! * **Bounded**: in entries, in calls under way, in time. ARNs come from callers, so each bound is reached by one who
//!   means harm; beyond it a profile stays unresolved, which costs a price but never a submission.
//!
//! A call belongs to nobody: a caller that gives up does not end it for the others.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::domain::profile::{ProfileArn, ProfileTarget, UnusableProfile};

/// How long an answer is used before AWS is asked again.
pub const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How long a failure is remembered.
pub const FAILED_FOR: SignedDuration = SignedDuration::from_secs(60);
/// Most profiles remembered.
const MAX_ENTRIES: usize = 1_024;
/// Most calls wanted at once, enough for a whole batch; further profiles are not even queued.
const MAX_FLIGHTS: usize = 128;
/// Most calls under way at once. `GetInferenceProfile` is throttled per account and region.
const MAX_CALLS: usize = 8;
/// Most profiles whose failure was logged once.
const MAX_WARNED: usize = 1_000;

/// Why a profile could not be resolved. Texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Asking AWS is not configured.
    #[error("asking AWS is switched off (aws.bedrock.enabled)")]
    Off,
    /// Too many profiles are being asked for.
    #[error("too many profiles are being resolved at once")]
    Busy,
    /// AWS knows no such profile.
    #[error("AWS knows no such inference profile")]
    NotFound,
    /// AWS refused, for example for want of a permission.
    #[error("AWS refused: {0}")]
    Refused(String),
    /// AWS could not be reached, was overloaded or failed.
    #[error("AWS is unavailable: {0}")]
    Unavailable(String),
    /// No answer in time.
    #[error("AWS did not answer in time")]
    TimedOut,
    /// AWS answered with something that cannot be priced.
    #[error("the profile cannot be priced: {0}")]
    Unusable(#[from] UnusableProfile),
}

/// Knows what is behind opaque inference profiles.
#[async_trait]
pub trait ProfileResolver: fmt::Debug + Send + Sync {
    /// What is priced when a profile is called. May retry, within the time it was given when it was made.
    async fn resolve(&self, arn: &ProfileArn) -> Result<ProfileTarget, ResolveError>;
}

/// What is known about a profile.
pub type Outcome = Result<Arc<ProfileTarget>, ResolveError>;

/// The memory, and the one way to the resolver.
#[derive(Debug)]
pub struct ProfileMemo {
    resolver: Option<Arc<dyn ProfileResolver>>,
    timeout: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    calls: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<ProfileArn, Entry>,
    flights: usize,
    warned: HashSet<ProfileArn>,
}

/// What is remembered of one profile.
#[derive(Debug, Default)]
struct Entry {
    /// The latest answer.
    target: Option<Arc<ProfileTarget>>,
    /// Why there is none, where there is none.
    error: Option<ResolveError>,
    /// Until when that holds without asking.
    until: Option<Timestamp>,
    /// The call under way.
    flight: Option<watch::Receiver<Option<Outcome>>>,
}

impl Entry {
    fn outcome(&self) -> Option<Outcome> {
        self.target.clone().map(Ok).or_else(|| self.error.clone().map(Err))
    }

    fn fresh(&self, now: Timestamp) -> Option<Outcome> {
        self.until.filter(|until| now < *until).and_then(|_| self.outcome())
    }
}

/// How a wish to know goes on.
enum Step {
    Known(Outcome),
    Wait(watch::Receiver<Option<Outcome>>),
}

impl ProfileMemo {
    /// An empty memory. Without a resolver no opaque profile is ever resolved. `timeout` bounds one call, and how long
    /// a caller waits for all it wants.
    #[must_use]
    pub fn new(resolver: Option<Arc<dyn ProfileResolver>>, timeout: Duration) -> Self {
        let shared = Shared { state: Mutex::default(), calls: Semaphore::new(MAX_CALLS) };
        Self { resolver, timeout, shared: Arc::new(shared) }
    }

    /// The latest answer for a profile, also where it would be asked for again by now. Never asks.
    #[must_use]
    pub fn known(&self, arn: &ProfileArn) -> Option<Arc<ProfileTarget>> {
        self.shared.lock().entries.get(arn)?.target.clone()
    }

    /// What is behind profiles. Asks for those that are not known, all at once, and waits no longer than the time-out.
    pub async fn resolve(&self, arns: Vec<ProfileArn>, now: Timestamp) -> HashMap<ProfileArn, Outcome> {
        let mut outcomes = HashMap::with_capacity(arns.len());
        let mut waiting = Vec::new();
        for arn in arns {
            if outcomes.contains_key(&arn) {
                continue;
            }
            match self.step(&arn, now) {
                Step::Known(outcome) => drop(outcomes.insert(arn, outcome)),
                Step::Wait(flight) => waiting.push((arn, flight)),
            }
        }
        let deadline = Instant::now() + self.timeout;
        for (arn, mut flight) in waiting {
            let landed = timeout_at(deadline, flight.wait_for(Option::is_some)).await;
            let outcome = match landed {
                Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(ResolveError::TimedOut)),
                // A runtime that goes down ends its calls.
                Ok(Err(_)) => Err(ResolveError::Unavailable("the call was given up".to_owned())),
                Err(_) => self.known(&arn).ok_or(ResolveError::TimedOut),
            };
            outcomes.insert(arn, outcome);
        }
        outcomes
    }

    fn step(&self, arn: &ProfileArn, now: Timestamp) -> Step {
        let Some(resolver) = &self.resolver else { return Step::Known(Err(ResolveError::Off)) };
        let mut state = self.shared.lock();
        if let Some(entry) = state.entries.get(arn) {
            if let Some(flight) = &entry.flight {
                return Step::Wait(flight.clone());
            }
            if let Some(outcome) = entry.fresh(now) {
                return Step::Known(outcome);
            }
        }
        if state.flights >= MAX_FLIGHTS {
            let stale = state.entries.get(arn).and_then(|entry| entry.target.clone());
            return Step::Known(stale.ok_or(ResolveError::Busy));
        }
        state.make_room_for(arn);
        let (sender, receiver) = watch::channel(None);
        state.flights += 1;
        state.entries.entry(arn.clone()).or_default().flight = Some(receiver.clone());
        drop(state);

        let (shared, resolver) = (Arc::clone(&self.shared), Arc::clone(resolver));
        let (arn, limit) = (arn.clone(), self.timeout);
        tokio::spawn(async move {
            let answer = shared.ask(resolver, arn.clone(), limit).await;
            let outcome = shared.land(&arn, answer, now);
            sender.send_replace(Some(outcome));
        });
        Step::Wait(receiver)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call. In a task of its own, so that a mistake in a resolver is a failure like any other.
    async fn ask(
        &self,
        resolver: Arc<dyn ProfileResolver>,
        arn: ProfileArn,
        limit: Duration,
    ) -> Result<ProfileTarget, ResolveError> {
        let Ok(Ok(_permit)) = timeout(limit, self.calls.acquire()).await else { return Err(ResolveError::Busy) };
        let mut call = tokio::spawn(async move { resolver.resolve(&arn).await });
        match timeout(limit, &mut call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ResolveError::Unavailable("the resolver failed".to_owned())),
            Err(_) => {
                call.abort();
                Err(ResolveError::TimedOut)
            }
        }
    }

    /// Remembers an answer, and says what counts from now on.
    fn land(&self, arn: &ProfileArn, answer: Result<ProfileTarget, ResolveError>, asked_at: Timestamp) -> Outcome {
        let mut state = self.lock();
        state.flights = state.flights.saturating_sub(1);
        let kept = |duration| asked_at.checked_add(duration).ok();
        let mut entry = state.entries.remove(arn).unwrap_or_default();
        entry.flight = None;
        let outcome = match answer {
            Ok(target) => {
                state.warned.remove(arn);
                let target = Arc::new(target);
                entry = Entry { target: Some(Arc::clone(&target)), until: kept(KNOWN_FOR), ..Entry::default() };
                Ok(target)
            }
            Err(error) => {
                metrics::counter!("inference_profile_failures_total").increment(1);
                if state.warned.len() < MAX_WARNED && state.warned.insert(arn.clone()) {
                    tracing::warn!(%arn, %error, "an inference profile could not be resolved; its usage has no price");
                }
                // Nobody was asked, so there is nothing to remember.
                if error != ResolveError::Busy {
                    entry.until = kept(FAILED_FOR);
                    entry.error = Some(error.clone());
                }
                entry.target.clone().ok_or(error)
            }
        };
        if entry.outcome().is_some() {
            state.entries.insert(arn.clone(), entry);
        }
        outcome
    }
}

impl State {
    /// Forgets what would be asked for again the soonest, where there is no room for one more.
    fn make_room_for(&mut self, arn: &ProfileArn) {
        if self.entries.len() < MAX_ENTRIES || self.entries.contains_key(arn) {
            return;
        }
        // There is one: far fewer calls are under way than there are entries.
        let idle = self.entries.iter().filter(|(_, entry)| entry.flight.is_none());
        if let Some(soonest) = idle.min_by_key(|(_, entry)| entry.until).map(|(arn, _)| arn.clone()) {
            self.entries.remove(&soonest);
        }
    }
}

#[cfg(test)]
#[path = "memo_tests.rs"]
mod tests;
