//! Forgets what is past its retention, in bounded batches.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::domain::calendar::{Calendar, CalendarError};
use crate::service::Services;
use crate::storage::{Retention, StorageError};

/// When and how much is forgotten.
#[derive(Debug, Clone, Copy)]
pub struct PurgePolicy {
    /// Days usage records and dedup keys are kept.
    pub usage_days: u32,
    /// Days totals are kept.
    pub totals_days: u32,
    /// Days events of the audit trail are kept.
    pub audit_days: u32,
    /// Pause between runs.
    pub interval: Duration,
    /// Most rows of a kind in one step.
    pub batch: u32,
}

impl PurgePolicy {
    /// What may be forgotten now.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] at the start of the supported calendar.
    pub fn retention(&self, now: Timestamp) -> Result<Retention, CalendarError> {
        let days_ago = |days: u32| {
            now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24)).map_err(|_| CalendarError::OutOfRange)
        };
        Ok(Retention {
            now,
            usage_before: days_ago(self.usage_days)?,
            // A day of UTC: organizations west of it keep their totals some hours longer, none shorter than a day.
            totals_before: Calendar::new("UTC")?.day_of(days_ago(self.totals_days)?),
            audit_before: days_ago(self.audit_days)?,
        })
    }
}

/// Purges at once and then in intervals, until stopped. A failure is logged and tried again at the next interval.
pub async fn run(services: &Services, policy: PurgePolicy, stop: CancellationToken) {
    loop {
        match purge(services, policy, &stop).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "data past its retention was deleted"),
            Err(error) => {
                metrics::counter!("purge_failures_total").increment(1);
                tracing::warn!(%error, "deleting data past its retention failed; it is tried again later");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(policy.interval) => {}
        }
    }
}

/// One run: step by step until nothing is left, yielding to other writers in between.
async fn purge(services: &Services, policy: PurgePolicy, stop: &CancellationToken) -> Result<u64, StorageError> {
    let retention = policy.retention(services.now()).map_err(|e| StorageError::Backend(e.to_string()))?;
    let mut total = 0;
    while !stop.is_cancelled() {
        let gone = services.storage.purge(&retention, policy.batch).await?;
        if gone == 0 {
            break;
        }
        metrics::counter!("purged_rows_total").increment(gone);
        total += gone;
        tokio::task::yield_now().await;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_counted_back_from_now() {
        let policy = PurgePolicy {
            usage_days: 35,
            totals_days: 400,
            audit_days: 90,
            interval: Duration::from_secs(1),
            batch: 10,
        };
        let retention = policy.retention("2026-11-23T10:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(retention.usage_before, "2026-10-19T10:00:00Z".parse().unwrap());
        assert_eq!(retention.totals_before.to_string(), "2025-10-19");
        assert_eq!(retention.audit_before, "2026-08-25T10:00:00Z".parse().unwrap());
        assert!(policy.retention(Timestamp::MIN).is_err());
    }
}
