//! SIGTERM and Ctrl-C: finish what is under way, then exit 0.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ORG, cost, provision, today};
use crate::support::process::{PATIENCE, Served};

async fn stops_cleanly_on(signal: &str) {
    let dir = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut served = Served::start(dir.path(), &[]);
    let token = provision(&client, &served.url, &Served::provisioning_key(dir.path())).await;
    let url = format!("{}/api/v1/orgs/{ORG}/apps/chat/costs", served.url);
    let submissions: Vec<_> = (1..=50_u32)
        .map(|n| {
            let id = format!("00000000-0000-4000-8000-{n:012}");
            tokio::spawn(client.post(&url).bearer_auth(&token).json(&cost(&id, 1)).send())
        })
        .collect();
    served.signal(signal);
    let mut acknowledged = 0_u64;
    for submission in submissions {
        // Refused connections are fine: those were not accepted. What got a 202 must be there.
        if submission.await.unwrap().is_ok_and(|response| response.status() == 202) {
            acknowledged += 1;
        }
    }
    let status = served.ended();
    assert!(status.success(), "{status}");
    drop(served);

    let served = Served::start(dir.path(), &[]);
    let totals = today(&client, &served, &token).await;
    let recorded = totals["models"]["premium"]["requests"].as_u64().unwrap();
    assert!(recorded >= acknowledged, "{recorded} recorded, {acknowledged} acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_exits_with_success() {
    stops_cleanly_on("TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_fails_while_the_process_goes_down_and_requests_are_still_answered() {
    let dir = tempfile::tempdir().unwrap();
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    // A long delay, ended below: what is tested is its middle, whatever the machine's speed.
    let mut served = Served::start(dir.path(), &["--set", "server.drain_delay_secs=60"]);
    let status = async |path: &str| client.get(format!("{}{path}", served.url)).send().await.unwrap().status();
    assert_eq!(status("/readyz").await, 200);
    served.signal("TERM");
    let started = Instant::now();
    while status("/readyz").await != 503 {
        assert!(started.elapsed() < PATIENCE, "it is ready for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status("/livez").await, 200);
    assert_eq!(status("/health").await, 200);
    served.signal("INT");
    assert!(served.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drains_and_exits_with_success() {
    stops_cleanly_on("INT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_secrets_tokens_and_totals() {
    let dir = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut served = Served::start(dir.path(), &[]);
    let key = Served::provisioning_key(dir.path());
    let token = provision(&client, &served.url, &key).await;
    let submit = |url: String| {
        client
            .post(format!("{url}/api/v1/orgs/{ORG}/apps/chat/costs"))
            .bearer_auth(&token)
            .json(&cost("00000000-0000-4000-8000-000000000001", 7))
    };
    assert_eq!(submit(served.url.clone()).send().await.unwrap().status(), 202);
    served.signal("TERM");
    assert!(served.ended().success());
    assert!(!served.rest_of_output().contains(&key), "the provisioning key was printed");

    let served = Served::start(dir.path(), &[]);
    assert_eq!(Served::provisioning_key(dir.path()), key);
    let again: Value = submit(served.url.clone()).send().await.unwrap().json().await.unwrap();
    assert_eq!((&again["duplicate"], &again["daily_total"]["cost_usd_micros"]), (&true.into(), &7.into()));
}
