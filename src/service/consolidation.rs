//! Keeping totals fresh on a store that adds them up at a distance, and knowing how fresh they are.
//!
//! One instance leads, decided by a lease in the store; the others only look at the lease. A pass visits every
//! organization whose totals changed lately, and every other one at least once a minute, so that a first submission
//! after a quiet time is seen within that minute while organizations without traffic cost next to nothing. Leadership
//! saves work, it guards nothing: consolidation is safe from any number of instances at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Result, Services};
use crate::domain::calendar::{Calendar, Day};
use crate::domain::ids::OrgId;
use crate::domain::tenant::Org;
use crate::storage::{ConsolidationLease, ConsolidationProgress};

/// An organization is active while its totals changed less than this ago. Long enough for a client that checks
/// every few minutes.
const ACTIVE: SignedDuration = SignedDuration::from_mins(15);
/// Longest time between two visits of an organization that is not active.
const VISIT_ALL: SignedDuration = SignedDuration::from_secs(60);
/// A day is visited this much longer than submissions for it are accepted: an accepted one may be committed a little
/// later, and clocks differ.
const MARGIN: SignedDuration = SignedDuration::from_mins(30);
/// Days a leader looks back at most when nobody led for long: as long as usage records live by default.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(35 * 24);
/// Organizations per page of the list.
const ORGS_PAGE: u32 = 100;
/// Days of one call that are no longer visited regularly.
const UNCONSOLIDATED_PAGE: u32 = 100;
/// Such calls of one reader that needs every total: a million days of organizations, far above what retention leaves.
const MOST_UNCONSOLIDATED_PAGES: usize = 10_000;
/// Organizations consolidated at the same time.
const CONCURRENCY: usize = 4;

/// What an instance remembers between passes.
#[derive(Debug)]
pub struct Consolidator {
    holder: Uuid,
    interval: Duration,
    /// When an organization was last seen to change, by this instance while it led.
    changed: Mutex<HashMap<OrgId, Timestamp>>,
    /// The lease as last read, and when, for answering how old totals are.
    seen: Mutex<Option<(Timestamp, Option<ConsolidationLease>)>>,
}

impl Consolidator {
    /// For one instance, which calls itself `holder`.
    #[must_use]
    pub fn new(holder: Uuid, interval: Duration) -> Self {
        Self { holder, interval, changed: Mutex::default(), seen: Mutex::default() }
    }

    /// Pause between passes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long a lease lasts: three passes may fail or be late before somebody else takes over.
    fn lease_expiry(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.span().saturating_mul(3)).unwrap_or(Timestamp::MAX)
    }

    /// The interval, to reckon with instants. The configuration keeps it far within range.
    fn span(&self) -> SignedDuration {
        SignedDuration::try_from(self.interval).unwrap_or(VISIT_ALL)
    }

    /// Nothing can be half done under these locks, so a panic elsewhere spoils nothing.
    fn changed(&self) -> MutexGuard<'_, HashMap<OrgId, Timestamp>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Option<(Timestamp, Option<ConsolidationLease>)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_active(&self, org_id: OrgId, now: Timestamp) -> bool {
        self.changed().get(&org_id).is_some_and(|changed| now.duration_since(*changed) < ACTIVE)
    }

    fn saw_change(&self, org_id: OrgId, now: Timestamp) {
        self.changed().insert(org_id, now);
    }

    fn forget_quiet(&self, now: Timestamp) {
        self.changed().retain(|_, changed| now.duration_since(*changed) < ACTIVE);
    }

    fn saw_lease(&self, now: Timestamp, lease: Option<ConsolidationLease>) {
        *self.seen() = Some((now, lease));
    }
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Somebody else leads.
    Follows,
    /// This instance led a pass over this many days of organizations.
    Led {
        /// Days visited.
        visited: u64,
        /// Days whose totals changed.
        changed: u64,
    },
}

impl Services {
    /// Takes one turn: leads a pass where nobody else does. Call it every
    /// [`interval`](Consolidator::interval), on a store that consolidates.
    ///
    /// # Errors
    /// As every use of the store. What a pass did before it failed stays done; the next one does the rest.
    pub async fn consolidation_turn(&self) -> Result<Turn> {
        let consolidator = &self.consolidator;
        let now = self.now();
        let seen = self.storage.consolidation_lease().await?;
        consolidator.saw_lease(now, seen);
        let before = seen.and_then(|lease| lease.progress);
        let mine = |progress| ConsolidationLease {
            holder: consolidator.holder,
            expires_at: consolidator.lease_expiry(now),
            progress,
        };
        let led_last = seen.is_some_and(|lease| lease.holder == consolidator.holder);
        let leads = led_last && seen.is_some_and(|lease| lease.expires_at > now);
        if !leads && !self.storage.lease_consolidation(&mine(before), now).await? {
            return Ok(Turn::Follows);
        }
        let all = !led_last
            || before.is_none_or(|before| now.duration_since(before.all_until) + consolidator.span() >= VISIT_ALL);
        let (visited, changed) = self.consolidation_pass(now, before, all, !led_last).await?;
        let all_until = if all { now } else { before.map_or(now, |before| before.all_until) };
        let lease = ConsolidationLease {
            expires_at: consolidator.lease_expiry(self.now()),
            ..mine(Some(ConsolidationProgress { active_until: now, all_until }))
        };
        if self.storage.lease_consolidation(&lease, self.now()).await? {
            consolidator.saw_lease(self.now(), Some(lease));
        }
        consolidator.forget_quiet(now);
        Ok(Turn::Led { visited, changed })
    }

    async fn consolidation_pass(
        &self,
        now: Timestamp,
        before: Option<ConsolidationProgress>,
        all: bool,
        took_over: bool,
    ) -> Result<(u64, u64)> {
        // Where nobody led for a while, days may have closed meanwhile that nobody has looked at.
        let earliest = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let since = before.map_or(earliest, |before| before.all_until.max(earliest)).min(now);
        let (mut visited, mut changed) = (0, 0);
        let mut after = None;
        loop {
            let page = self.storage.list_orgs(after, ORGS_PAGE).await?;
            let full = page.len() >= ORGS_PAGE as usize;
            after = page.last().map(|org| org.org_id);
            let due: Vec<Org> = page
                .into_iter()
                // Whoever was set up or changed a moment ago is about to use it.
                .filter(|org| {
                    all || now.duration_since(org.updated_at) < ACTIVE || self.consolidator.is_active(org.org_id, now)
                })
                .collect();
            for group in due.chunks(CONCURRENCY) {
                let visits = group.iter().map(|org| self.visit(org, since, now));
                let results = futures_util::future::try_join_all(visits).await?;
                for (org, (days, changes)) in group.iter().zip(results) {
                    visited += days;
                    changed += changes;
                    // A new leader does not know who was active: everybody may have been.
                    if changes > 0 || took_over {
                        self.consolidator.saw_change(org.org_id, now);
                    }
                }
            }
            if !full {
                break;
            }
        }
        let (days, changes) = self.consolidate_marked().await?;
        Ok((visited + days, changed + changes))
    }

    /// Consolidates one page of the days that are not visited regularly. Answers how many, and how many of them changed.
    async fn consolidate_marked(&self) -> Result<(u64, u64)> {
        let (mut visited, mut changed) = (0, 0);
        for (org_id, day) in self.storage.unconsolidated(UNCONSOLIDATED_PAGE).await? {
            visited += 1;
            changed += u64::from(self.storage.consolidate(org_id, day).await?);
        }
        Ok((visited, changed))
    }

    /// Brings every total up to date now, whoever leads: for a reader that needs all of them once.
    pub(crate) async fn consolidate_everything(&self) -> Result<()> {
        if !self.storage.consolidates() {
            return Ok(());
        }
        let before = self.storage.consolidation_lease().await?.and_then(|lease| lease.progress);
        self.consolidation_pass(self.now(), before, true, false).await?;
        // A pass looks at one page of these only; there are more after an import.
        for _ in 0..MOST_UNCONSOLIDATED_PAGES {
            if self.consolidate_marked().await?.0 == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Consolidates the open days of an organization. Answers how many, and how many of them changed.
    async fn visit(&self, org: &Org, since: Timestamp, now: Timestamp) -> Result<(u64, u64)> {
        let calendar = Calendar::new(&org.config.timezone)?;
        let (mut visited, mut changed) = (0, 0);
        for day in open_days(&calendar, since, now)? {
            visited += 1;
            changed += u64::from(self.storage.consolidate(org.org_id, day).await?);
        }
        Ok((visited, changed))
    }

    /// Brings the totals an answer needs up to date now: the open days of the month of `day`.
    pub(crate) async fn consolidate_now(&self, org_id: OrgId, calendar: &Calendar, day: Day) -> Result<()> {
        if !self.storage.consolidates() {
            return Ok(());
        }
        let now = self.now();
        for open in open_days(calendar, now, now)? {
            if open.month() == day.month() {
                self.storage.consolidate(org_id, open).await?;
            }
        }
        Ok(())
    }

    /// How old totals may be that last changed at `updated_at`, in whole seconds, rounded up.
    pub(crate) async fn data_lag_secs(&self, updated_at: Option<Timestamp>) -> Result<u64> {
        if !self.storage.consolidates() {
            return Ok(0);
        }
        let now = self.now();
        let lease = self.recent_lease(now).await?;
        let Some(progress) = lease.and_then(|lease| lease.progress) else {
            // Nobody ever led: as old as the service promises at most.
            return Ok(VISIT_ALL.as_secs().unsigned_abs());
        };
        let active = updated_at.is_some_and(|updated_at| progress.active_until.duration_since(updated_at) < ACTIVE);
        let until = if active { progress.active_until } else { progress.all_until };
        Ok(secs_up(now.duration_since(until)))
    }

    /// The lease, at most a second old: it changes every few seconds, and every answer asks for it.
    async fn recent_lease(&self, now: Timestamp) -> Result<Option<ConsolidationLease>> {
        let seen = *self.consolidator.seen();
        if let Some((at, lease)) = seen
            && at <= now
            && now.duration_since(at) < SignedDuration::from_secs(1)
        {
            return Ok(lease);
        }
        let lease = self.storage.consolidation_lease().await?;
        self.consolidator.saw_lease(now, lease);
        Ok(lease)
    }

    /// How long after a submission totals include it, at most, while everything works: what a receipt announces.
    #[must_use]
    pub fn expected_lag_secs(&self) -> u64 {
        if self.storage.consolidates() { self.consolidator.interval.as_secs() } else { 0 }
    }
}

fn secs_up(duration: SignedDuration) -> u64 {
    let millis = duration.as_millis().max(0).unsigned_abs();
    u64::try_from(millis.div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The days that submissions may have been added to between two instants: those of the accepted window at either, and
/// all between, with a margin.
fn open_days(calendar: &Calendar, since: Timestamp, now: Timestamp) -> Result<Vec<Day>> {
    let from = calendar.accepted_window(since.checked_sub(MARGIN).unwrap_or(since))?.from;
    let to = calendar.accepted_window(now)?.to;
    let (mut day, last) = (calendar.day_of(from), calendar.day_of(to));
    let mut days = vec![day];
    // Bounded by the look-back.
    while day < last {
        let Some(next) = day.next() else { break };
        day = next;
        days.push(day);
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn days(timezone: &str, since: &str, now: &str) -> Vec<String> {
        let calendar = Calendar::new(timezone).unwrap();
        let days = open_days(&calendar, since.parse().unwrap(), now.parse().unwrap()).unwrap();
        days.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn open_days_are_those_submissions_are_accepted_for() {
        let noon = "2026-03-10T12:00:00Z";
        assert_eq!(days("UTC", noon, noon), ["2026-03-09", "2026-03-10"]);
        // The day before yesterday closed at midnight; a late commit may still have reached it.
        let early = "2026-03-10T00:10:00Z";
        assert_eq!(days("UTC", early, early), ["2026-03-08", "2026-03-09", "2026-03-10"]);
        // Five minutes of clock skew reach into tomorrow.
        let late = "2026-03-10T23:58:00Z";
        assert_eq!(days("UTC", late, late), ["2026-03-09", "2026-03-10", "2026-03-11"]);
        assert_eq!(days("Pacific/Kiritimati", noon, noon), ["2026-03-10", "2026-03-11"]);
    }

    #[test]
    fn days_that_closed_while_nobody_led_are_looked_at_again() {
        let days = days("UTC", "2026-03-01T12:00:00Z", "2026-03-05T12:00:00Z");
        assert_eq!(days.first().map(String::as_str), Some("2026-02-28"));
        assert_eq!(days.last().map(String::as_str), Some("2026-03-05"));
        assert_eq!(days.len(), 6);
    }

    #[test]
    fn lag_is_rounded_up_and_never_negative() {
        assert_eq!(secs_up(SignedDuration::from_millis(-5)), 0);
        assert_eq!(secs_up(SignedDuration::from_millis(1)), 1);
        assert_eq!(secs_up(SignedDuration::from_millis(2_000)), 2);
    }
}
