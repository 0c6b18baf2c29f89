//! What was answered with 202 survives SIGKILL, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{ORG, cost, provision, today};
use crate::support::process::Served;

/// Request number *n* costs *n* micro-USD, so a total tells exactly which were counted.
fn id(n: u64) -> String {
    Uuid::from_u128(0x4000_8000_0000_0000_0000_u128 | u128::from(n)).to_string()
}

/// Submits until the process dies; answers the numbers that were acknowledged.
async fn load(
    client: reqwest::Client,
    url: String,
    token: String,
    next: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
) {
    loop {
        let n = next.fetch_add(1, Ordering::SeqCst) + 1;
        let request =
            client.post(format!("{url}/api/v1/orgs/{ORG}/apps/chat/costs")).bearer_auth(&token).json(&cost(&id(n), n));
        match request.send().await {
            Ok(response) if response.status() == 202 => acknowledged.lock().await.push(n),
            Ok(response) => panic!("unexpected answer {}", response.status()),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_under_load_loses_no_acknowledged_submission_and_doubles_none() {
    let dir = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut served = Served::start(dir.path(), &[]);
    let key = Served::provisioning_key(dir.path());
    let token = provision(&client, &served.url, &key).await;
    let next = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));

    for round in 1..=3_usize {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(load(
                    client.clone(),
                    served.url.clone(),
                    token.clone(),
                    Arc::clone(&next),
                    Arc::clone(&acknowledged),
                ))
            })
            .collect();
        // Kill in the middle of the load, whatever the machine's speed: once enough was acknowledged.
        while acknowledged.lock().await.len() < round * 300 {
            tokio::task::yield_now().await;
        }
        served.child.kill().unwrap();
        served.child.wait().unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
        served = Served::start(dir.path(), &[]);
    }

    // Repeat everything ever sent, as a client does that never got its answer: each counts once in the end.
    let sent = next.load(Ordering::SeqCst);
    let acknowledged = acknowledged.lock().await;
    for n in 1..=sent {
        let url = format!("{}/api/v1/orgs/{ORG}/apps/chat/costs", served.url);
        let response = client.post(url).bearer_auth(&token).json(&cost(&id(n), n)).send().await.unwrap();
        assert_eq!(response.status(), 202);
        let body: Value = response.json().await.unwrap();
        if acknowledged.contains(&n) {
            assert_eq!(body["duplicate"], true, "submission {n} was acknowledged and then lost");
        }
    }
    let totals = today(&client, &served, &token).await;
    assert_eq!(totals["models"]["premium"]["requests"], sent);
    assert_eq!(totals["total_cost_usd_micros"], sent * (sent + 1) / 2);
}
