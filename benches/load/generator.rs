//! Load over keep-alive connections, closed or open, and the latencies it sees.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use bedrock_cost_keeper::domain::money::PicoUsd;
use futures::future::join_all;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::calls::Kind;
use crate::tenants::Tenant;

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) tenants: &'a [Tenant],
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Time that counts. A quarter of it goes before.
    pub(crate) length: Duration,
}

/// What came of it.
pub(crate) struct Run {
    /// Latencies in microseconds, of the time that counts.
    pub(crate) latencies: Histogram<u64>,
    /// Answers in that time.
    pub(crate) answers: u64,
    pub(crate) elapsed: Duration,
    /// Acknowledged submissions, those before the time that counts included, and what they cost.
    pub(crate) acknowledged: Acknowledged,
}

#[derive(Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) records: u64,
    pub(crate) cost: PicoUsd,
}

impl Acknowledged {
    pub(crate) const NONE: Self = Self { records: 0, cost: PicoUsd::ZERO };

    pub(crate) fn and(self, other: Self) -> Self {
        Self { records: self.records + other.records, cost: self.cost.checked_add(other.cost).unwrap() }
    }
}

impl Run {
    pub(crate) fn per_sec(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Of microseconds, from one to two minutes, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).unwrap()
}

/// Notes how long something took.
pub(crate) fn note(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.record(u64::try_from(took.as_micros()).unwrap().max(1)).unwrap();
}

/// One keep-alive connection of one application.
struct Connection<'a> {
    sender: SendRequest<Full<Bytes>>,
    tenant: &'a Tenant,
    kind: Kind,
    latencies: Histogram<u64>,
    acknowledged: Acknowledged,
    counted_from: Instant,
    counted_until: Instant,
}

impl<'a> Connection<'a> {
    async fn open(plan: Plan<'a>, number: usize, counted_from: Instant) -> Self {
        let stream = TcpStream::connect(plan.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            tenant: &plan.tenants[number % plan.tenants.len()],
            kind: plan.kind,
            latencies: histogram(),
            acknowledged: Acknowledged::NONE,
            counted_from,
            counted_until: counted_from + plan.length,
        }
    }

    /// Sends one request. Its latency counts from `due`, which may lie before now: who had to wait for the connection
    /// waited for the service.
    async fn call(&mut self, due: Instant) {
        let (request, cost) = self.kind.request(self.tenant);
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, self.kind.expected(), "{}", String::from_utf8_lossy(&body));
        if self.kind == Kind::Batch {
            assert!(body.starts_with(br#"{"accepted":100,"failed":0"#), "{}", String::from_utf8_lossy(&body));
        }
        let now = Instant::now();
        self.acknowledged = self.acknowledged.and(Acknowledged { records: self.kind.records(), cost });
        if due >= self.counted_from && now <= self.counted_until {
            note(&mut self.latencies, now - due);
        }
    }
}

async fn connections(plan: Plan<'_>) -> (Vec<Connection<'_>>, Instant) {
    let counted_from = Instant::now() + plan.length / 4;
    let opening = (0..plan.connections).map(|number| Connection::open(plan, number, counted_from));
    (join_all(opening).await, counted_from)
}

fn sum(plan: Plan<'_>, connections: Vec<Connection<'_>>) -> Run {
    let mut latencies = histogram();
    let mut acknowledged = Acknowledged::NONE;
    for connection in connections {
        latencies.add(&connection.latencies).unwrap();
        acknowledged = acknowledged.and(connection.acknowledged);
    }
    Run { answers: latencies.len(), latencies, elapsed: plan.length, acknowledged }
}

/// Each connection sends its next request as soon as the answer is there.
pub(crate) async fn closed_loop(plan: Plan<'_>) -> Run {
    let (opened, _) = connections(plan).await;
    let running = opened.into_iter().map(|mut connection| async move {
        while Instant::now() < connection.counted_until {
            connection.call(Instant::now()).await;
        }
        connection
    });
    let done = join_all(running).await;
    sum(plan, done)
}

/// Requests are due at fixed instants, whatever became of those before them.
pub(crate) async fn open_loop(plan: Plan<'_>, per_sec: f64) -> Run {
    let (opened, counted_from) = connections(plan).await;
    let (clocks, running): (Vec<_>, Vec<_>) = opened
        .into_iter()
        .map(|mut connection| {
            let (clock, mut due) = mpsc::unbounded_channel::<Instant>();
            let running = async move {
                while let Some(due) = due.recv().await {
                    connection.call(due).await;
                }
                connection
            };
            (clock, running)
        })
        .unzip();
    // A thread of its own: timers of the runtime are as coarse as a millisecond.
    let until = counted_from + plan.length;
    let ticking = std::thread::spawn(move || tick(&clocks, per_sec, until));
    let done = join_all(running).await;
    ticking.join().unwrap();
    sum(plan, done)
}

fn tick(clocks: &[mpsc::UnboundedSender<Instant>], per_sec: f64, until: Instant) {
    let start = Instant::now();
    for (number, clock) in (0_u64..).zip(clocks.iter().cycle()) {
        let due = start + Duration::from_secs_f64(number as f64 / per_sec);
        if due >= until {
            return;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        clock.send(due).unwrap();
    }
}
