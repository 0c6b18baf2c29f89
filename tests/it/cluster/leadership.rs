//! Who adds up totals.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::instances::{Instances, PATIENCE};
use crate::process::ORG;
use crate::support::stores::FreshStore;

/// Which instances say that they lead.
async fn leaders(instances: &Instances, among: &[usize]) -> Vec<usize> {
    let mut leaders = Vec::new();
    for n in among {
        let answer = instances.admin(*n, Method::GET, "").build().unwrap();
        let key = answer.headers()["x-api-key"].clone();
        let metrics = instances.http.get(format!("{}/metrics", instances.url(*n))).header("x-api-key", key);
        let text = metrics.send().await.unwrap().text().await.unwrap();
        if text.lines().any(|line| line == "consolidation_leader 1") {
            leaders.push(*n);
        }
    }
    leaders
}

/// Waits until totals that nobody asks to be added up show this many requests.
async fn seen(instances: &Instances, n: usize, token: &str, requests: u64) -> Duration {
    let started = Instant::now();
    loop {
        let (status, today) = instances.get(n, token, "/aggregates/today").await;
        if status == 200 && today["models"]["premium"]["requests"] == requests {
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "{today}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn another_instance_adds_up_totals_when_the_one_that_did_is_killed(store: FreshStore) {
    let mut instances = Instances::start(store, 3).await;
    let token = instances.provision(&json!({"premium": 1_000_000})).await;
    let submitter = instances.submitter(&token);
    submitter.submit(0, 1).await;
    seen(&instances, 1, &token, 1).await;
    let first = leaders(&instances, &[0, 1, 2]).await;
    assert_eq!(first.len(), 1, "{first:?}");

    instances.kill(first[0]);
    let left: Vec<usize> = (0..3).filter(|n| *n != first[0]).collect();
    let submitter = instances.submitter(&token);
    submitter.submit(left[0], 2).await;
    let taken_over = seen(&instances, left[1], &token, 2).await;
    // The lease lasts three intervals of a second here; the next turn of somebody else takes it.
    println!("totals were added up again {} ms after the leader was killed", taken_over.as_millis());
    let second = leaders(&instances, &left).await;
    assert_eq!(second.len(), 1, "{second:?}");

    // Whoever comes back finds somebody else leading.
    let back = first[0];
    instances.kill_and_restart(back).await;
    instances.submitter(&token).submit(back, 3).await;
    seen(&instances, back, &token, 3).await;
    assert_eq!(leaders(&instances, &[0, 1, 2]).await, second);
    let answer = instances.admin(back, Method::GET, &format!("/orgs/{ORG}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
