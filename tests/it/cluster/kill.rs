//! What was accepted survives the sudden end of any instance, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::instances::{Dice, Instances, Submitter, sum_up_to};
use crate::support::stores::FreshStore;

const CLIENTS: usize = 16;
const KILLS: u64 = 8;

/// Submits one after the other, each until it is accepted, until told to stop.
async fn load(submitter: Submitter, client: usize, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        if client.is_multiple_of(2) {
            let number = next.fetch_add(1, Ordering::SeqCst) + 1;
            submitter.submit(client, number).await;
        } else {
            let first = next.fetch_add(30, Ordering::SeqCst) + 1;
            submitter.submit_batch(client, &(first..first + 30).collect::<Vec<_>>()).await;
        }
    }
}

pub(super) async fn killing_instances_at_random_moments_loses_nothing_and_doubles_nothing(store: FreshStore) {
    let mut instances = Instances::start(store, 2).await;
    let token = instances.provision(&json!({"premium": 1_000_000_000_000_u64})).await;
    let submitter = instances.submitter(&token);
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(load(submitter.clone(), client, Arc::clone(&next), Arc::clone(&stop))))
        .collect();

    let mut dice = Dice::new(4_711);
    for _ in 0..KILLS {
        // A random moment, counted in submissions so that it lies inside the load however fast the machine is.
        let at = next.load(Ordering::SeqCst) + 200 + dice.roll(800);
        while next.load(Ordering::SeqCst) < at {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let n = usize::try_from(dice.roll(2)).unwrap();
        instances.kill_and_restart(n).await;
        submitter.moved(n, instances.url(n));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }

    // Each was repeated until accepted, so each counts, and once.
    let sent = next.load(Ordering::SeqCst);
    for n in 0..2 {
        let totals = instances.today(n, &token).await;
        assert_eq!(totals["models"]["premium"]["requests"], sent);
        assert_eq!(totals["total_cost_usd_micros"], sum_up_to(sent));
    }
    for number in [1, sent / 2, sent] {
        assert!(submitter.submit(0, number).await, "submission {number} was lost");
    }
}
