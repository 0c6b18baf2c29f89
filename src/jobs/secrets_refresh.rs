//! Reads keys again in intervals from where they are kept.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::Services;

/// Reads after each interval until stopped, a tenth later at most: instances that started together must not ask at the
/// same moment. They were read at start, so the first pause comes first. Failures are told by the refresh itself.
pub async fn run(services: &Services, interval: Duration, stop: CancellationToken) {
    let Some(refresh) = &services.key_refresh else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval + jitter(services, interval / 10)) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = refresh.refresh() => {}
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
