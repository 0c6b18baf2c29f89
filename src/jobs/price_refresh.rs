//! Keeps the AWS Price List fresh. Checks hourly, which is one small read of the store; fetches daily.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Services;
use crate::service::price_refresh::{FetchReport, PriceFeed, RefreshPolicy, Refreshed, refresh};

/// When it is checked whether the list is fresh. The jitter keeps instances from asking AWS at the same moment; who
/// comes later finds the list in the store.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Pause between checks.
    pub interval: Duration,
    /// Most that is added to a pause, drawn anew each time.
    pub jitter: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { interval: Duration::from_secs(3600), jitter: Duration::from_secs(900) }
    }
}

/// Refreshes at once and then in intervals, until stopped. A failure is logged once and leaves prices as they are.
pub async fn run(
    services: &Services,
    feed: &dyn PriceFeed,
    policy: RefreshPolicy,
    schedule: Schedule,
    stop: CancellationToken,
) {
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = refresh(services, feed, policy) => outcome,
        };
        match outcome {
            Ok(Refreshed::Fresh) => {}
            Ok(Refreshed::Loaded) => tracing::info!("the price list of the store is in force"),
            Ok(Refreshed::Fetched(report)) => log(&report),
            Err(error) => {
                metrics::counter!("price_list_refresh_failures_total").increment(1);
                tracing::warn!(%error, "the price list was not refreshed; the last good prices stay in force");
            }
        }
        show(services);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(schedule.interval + jitter(services, schedule.jitter)) => {}
        }
    }
}

fn jitter(services: &Services, most: Duration) -> Duration {
    let mut bytes = [0; 8];
    // Without randomness instances may ask together, which is no reason to stop.
    let drawn = services.random.fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes));
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(drawn.checked_rem(most).unwrap_or(0))
}

fn log(report: &FetchReport) {
    let FetchReport { version, products, rows, kept, rounded, skipped, unknown_names, quarantined } = report;
    let skipped: Vec<String> = skipped.iter().map(|(reason, rows)| format!("{}={rows}", reason.name())).collect();
    let skipped = skipped.join(" ");
    tracing::info!(%version, products, rows, kept, rounded, skipped, "a new price list is in force");
    if !unknown_names.is_empty() {
        tracing::info!(?unknown_names, "the price list names models this version does not know");
    }
    for (model, reason) in quarantined {
        tracing::warn!(%model, reason = reason.name(), "new prices are not believed; the old ones stay in force");
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; these are far below 2^52")]
fn show(services: &Services) {
    let Some(status) = services.price_list() else { return };
    metrics::gauge!("price_list_age_seconds").set(status.age_secs as f64);
    metrics::gauge!("price_list_rows").set(status.rows as f64);
    metrics::gauge!("price_list_quarantined_models").set(status.quarantined.len() as f64);
}
