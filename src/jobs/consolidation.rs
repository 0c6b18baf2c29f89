//! Adds up totals in intervals, on a store that needs it.

use tokio_util::sync::CancellationToken;

use crate::service::Services;
use crate::service::consolidation::Turn;

/// Takes a turn at once and then in intervals, until stopped. A failure is logged and tried again at the next one.
pub async fn run(services: &Services, stop: CancellationToken) {
    if !services.storage.consolidates() {
        return;
    }
    let mut led = false;
    loop {
        let turn = tokio::select! {
            () = stop.cancelled() => return,
            turn = services.consolidation_turn() => turn,
        };
        match turn {
            Ok(turn) => {
                let leads = matches!(turn, Turn::Led { .. });
                if leads != led {
                    tracing::info!(leads, "who adds up totals has changed");
                }
                led = leads;
                metrics::gauge!("consolidation_leader").set(if leads { 1.0 } else { 0.0 });
                if let Turn::Led { visited, changed } = turn {
                    metrics::counter!("consolidation_days_visited_total").increment(visited);
                    metrics::counter!("consolidation_days_changed_total").increment(changed);
                }
            }
            Err(error) => {
                metrics::counter!("consolidation_failures_total").increment(1);
                tracing::warn!(%error, "totals were not added up; it is tried again at the next interval");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(services.consolidator.interval()) => {}
        }
    }
}
