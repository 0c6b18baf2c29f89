//! Clients that repeat what was not accepted, and what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use super::FAST;
use crate::support::server::{TestServer, request_id};
use crate::support::tenants::{Tenant, cost, with};

/// Longest a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    next: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    under_way: AtomicU64,
    paused: AtomicBool,
    stop: AtomicBool,
}

impl Tally {
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until this many more were accepted.
    pub(super) async fn further(&self, accepted: u64) {
        let until = self.accepted() + accepted;
        wait_until("more is accepted", async || self.accepted() >= until).await;
    }

    /// Lets what is under way finish and begins nothing new.
    pub(super) async fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
        wait_until("everything has finished", async || self.under_way.load(Ordering::SeqCst) == 0).await;
    }

    /// Goes on after a pause.
    pub(super) fn go_on(&self) {
        self.paused.store(false, Ordering::SeqCst);
    }

    /// Counts what begins, once there is no pause.
    async fn begin(&self) {
        loop {
            // In this order: whoever pauses sees either what began or that it did not.
            self.under_way.fetch_add(1, Ordering::SeqCst);
            if !self.paused.load(Ordering::SeqCst) {
                return;
            }
            self.end();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits until somebody more was refused.
    pub(super) async fn refusal(&self) {
        let before = self.refused.load(Ordering::SeqCst);
        wait_until("somebody is refused", async || self.refused.load(Ordering::SeqCst) > before).await;
    }
}

/// Waits until something holds.
pub(super) async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}: never");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Clients under way.
pub(super) struct Load {
    pub(super) tally: Arc<Tally>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients of an application, each submitting one after the other, every one until it is accepted.
    pub(super) fn start(server: &Arc<TestServer>, chat: &Tenant<'_>, clients: usize) -> Self {
        let tally = Arc::new(Tally::default());
        let clients = (0..clients)
            .map(|_| {
                let (server, tally) = (Arc::clone(server), Arc::clone(&tally));
                let (path, token) = (format!("{}/costs", chat.path), chat.token.clone());
                tokio::spawn(async move {
                    while !tally.stop.load(Ordering::SeqCst) {
                        let n = tally.next.fetch_add(1, Ordering::SeqCst) + 1;
                        tally.begin().await;
                        submit(&server, &path, &token, n, &tally).await;
                        tally.end();
                    }
                })
            })
            .collect();
        Self { tally, clients }
    }

    /// Lets the clients finish what they began, and answers how many submissions there were.
    pub(super) async fn finish(self) -> u64 {
        self.tally.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        let sent = self.tally.next.load(Ordering::SeqCst);
        assert_eq!(self.tally.accepted(), sent);
        sent
    }
}

/// Submission *n* costs *n* micro-USD.
async fn submit(server: &TestServer, path: &str, token: &str, n: u64, tally: &Tally) {
    let body = cost(&request_id(u32::try_from(n).unwrap()), "premium", n);
    let started = Instant::now();
    loop {
        let asked = Instant::now();
        let reply = server.post(path).bearer(token).json(&body).await;
        let took = asked.elapsed();
        assert!(took < FAST, "an answer took {took:?}");
        match reply.status {
            202 => break,
            503 => {
                reply.error(503, "SERVICE_UNAVAILABLE");
                tally.refused.fetch_add(1, Ordering::SeqCst);
            }
            status => panic!("{status}: {}", reply.text()),
        }
        assert!(started.elapsed() < PATIENCE, "it is never accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tally.accepted.fetch_add(1, Ordering::SeqCst);
}

/// Asserts that exactly these submissions count.
pub(super) async fn counts_exactly(chat: &Tenant<'_>, sent: u64) {
    let today = chat.get("/aggregates/today?force_check=true").await.ok(200);
    assert_eq!(today["models"]["premium"]["requests"], sent);
    assert_eq!(today["total_cost_usd_micros"], sent * (sent + 1) / 2);
}

/// An application whose quota does not matter.
pub(super) async fn application(server: &TestServer) -> Tenant<'_> {
    server
        .chat(with(json!({}), json!({"quotas": {"premium": 1_000_000_000_000_u64}, "model_ordering": ["premium"]})))
        .await
}

/// Whether traffic should be sent here.
pub(super) async fn ready(server: &TestServer) -> bool {
    server.get("/readyz").await.status == 200
}
