//! Applications that spend their quotas, in compressed time: a discrete-event simulation over the server's clock, with
//! real requests. Nothing sleeps, and everything follows from seeds.

use std::collections::{BTreeMap, BTreeSet};

use bedrock_cost_keeper::clock::Clock as _;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::Reply;
use super::server::TestServer;
use super::simulation_clients::{BedrockCall, CLIENTS, Client, Millis, QUOTA, SPEND_PER_SEC, Start};
use super::tenants::Tenant;

/// The ordering of every application. The last one is where clients are at the end.
pub(crate) const LABELS: [&str; 3] = ["premium", "standard", "economy"];

/// What became of one label.
#[derive(Debug, Clone, Default)]
pub(crate) struct LabelUse {
    /// What was spent on it, in micro-USD, as its clients know.
    pub(crate) spend: u64,
    /// How much of that before the start.
    spent_before: u64,
    /// Calls made with it.
    pub(crate) submissions: u64,
    /// Answers that named it.
    pub(crate) checks: u64,
    /// Clients that go by an answer that named it.
    clients: BTreeSet<usize>,
    /// When the last client so far left it.
    pub(crate) last_left: Option<Millis>,
    /// When the first client was sent on from it.
    pub(crate) first_left: Option<Millis>,
}

/// An application with its clients, which run until its first labels are spent and everybody has left them.
pub(crate) struct Fleet<'a> {
    app: Tenant<'a>,
    pub(crate) scope: &'static str,
    pub(crate) seed: u64,
    clients: Vec<Client>,
    /// Of how many labels the overrun is to be seen.
    labels_to_spend: usize,
    /// The last label of the ordering that anybody was sent to.
    furthest: usize,
    pub(crate) labels: [LabelUse; LABELS.len()],
    /// `X-Data-Lag-Secs` of every answer.
    pub(crate) lags: Vec<u64>,
    ended: Option<Millis>,
    /// What was reported and has to be with the server before anybody looks at totals.
    outbox: Vec<Vec<Value>>,
}

impl<'a> Fleet<'a> {
    /// Registers an organization with this application only. `spent` is what was spent on the labels in question before
    /// the start, in thousandths of their quotas; `overrides` are those of the organization.
    pub(crate) async fn new(
        server: &'a TestServer,
        scope: &'static str,
        seed: u64,
        start: Start,
        spent: &[u64],
        overrides: Value,
    ) -> Self {
        let org_id = format!("550e8400-e29b-41d4-a716-{}{seed:09}", if scope == "ORG" { "aaa" } else { "bbb" });
        let quotas: BTreeMap<_, _> = LABELS.iter().map(|label| (label, QUOTA)).collect();
        let org =
            server.org_named(&org_id, json!({"quota_scope": scope, "quotas": quotas, "overrides": overrides})).await;
        let app = org.app("chat", json!({})).await;
        let mut labels: [LabelUse; LABELS.len()] = Default::default();
        for ((label, of), permille) in LABELS.iter().zip(&mut labels).zip(spent) {
            of.spent_before = QUOTA / 1_000 * permille;
            of.spend = of.spent_before;
            of.submissions = 1;
            app.spend(label, of.spend).await;
        }
        Self {
            app,
            scope,
            seed,
            clients: Client::all(seed, start),
            labels_to_spend: spent.len(),
            furthest: 0,
            labels,
            lags: Vec::new(),
            ended: None,
            outbox: Vec::new(),
        }
    }

    /// A client makes its next call, after a check where its advice has expired. Answers the call and when the next one
    /// comes; nothing once the quotas that were to be spent are.
    async fn call(&mut self, client: usize, now: Millis) -> Option<(BedrockCall, Millis)> {
        if self.ended.is_some() {
            return None;
        }
        let label = match self.clients[client].advised(now) {
            Some(label) => label,
            None => self.check(client, now).await,
        };
        if self.labels[..self.labels_to_spend].iter().all(|label| label.last_left.is_some() && label.clients.is_empty())
        {
            self.ended = Some(now);
            return None;
        }
        let (call, pause) = self.clients[client].call(label);
        Some((call, now + pause))
    }

    /// A client asks which model to use.
    async fn check(&mut self, client: usize, now: Millis) -> usize {
        self.deliver().await;
        let reply = self.app.selection().await.ok(200);
        self.lags.push(reply.header("x-data-lag-secs").parse().unwrap());
        let label = self.sent_to(&reply, now);
        let secs = reply["client_guidance"]["cache_duration_secs"].as_u64().unwrap();
        assert_eq!(secs, if reply["quota_status"]["mode"] == "TIGHT" { 60 } else { 300 });
        self.labels[label].checks += 1;
        for (index, of) in self.labels.iter_mut().enumerate() {
            if index == label {
                of.clients.insert(client);
            } else if of.clients.remove(&client) {
                of.last_left = Some(now);
            }
        }
        self.clients[client].advise(label, now, secs * 1_000);
        label
    }

    /// The label an answer names. Labels are left one after another, one client is the first to leave each, and nobody
    /// is ever sent back to one that was left.
    fn sent_to(&mut self, reply: &Reply, now: Millis) -> usize {
        let recommended = &reply["recommended_model"];
        let label = LABELS.iter().position(|label| recommended["label"] == *label).unwrap();
        let reason = if label == self.furthest + 1 {
            let left = &mut self.labels[self.furthest];
            assert_eq!(left.first_left.replace(now), None);
            self.furthest = label;
            format!("QUOTA_EXCEEDED_{}", LABELS[label - 1].to_uppercase())
        } else if label == 0 {
            "NORMAL".to_owned()
        } else {
            "STICKY_FALLBACK".to_owned()
        };
        assert_eq!((label, recommended["reason"].as_str()), (self.furthest, Some(reason.as_str())), "{}", self.name());
        label
    }

    /// A call ended: it is counted, and reported.
    fn report(&mut self, client: usize, call: &BedrockCall, request_id: &str, now: Timestamp) {
        let label = &mut self.labels[call.label];
        label.spend += call.cost();
        label.submissions += 1;
        let submission = json!({
            "request_id": request_id, "model_label": LABELS[call.label], "status": "OK",
            "input_tokens": call.input_tokens, "output_tokens": call.output_tokens, "timestamp": now.to_string(),
        });
        let batch = self.clients[client].reports(submission);
        self.outbox.push(batch);
    }

    /// Sends what was reported. It may wait until somebody looks at totals, because nobody can tell the difference.
    async fn deliver(&mut self) {
        let app = &self.app;
        let send = async |mut batch: Vec<Value>| match batch.len() {
            0 => {}
            1 => {
                let receipt = app.post("/usage", &batch.remove(0)).await.ok(202);
                assert_eq!(receipt["processing"]["pricing"]["cost_source"], "SERVER");
            }
            size => {
                let reply = app.post("/usage/batch", &json!({"requests": batch})).await.ok(207);
                assert_eq!(reply["accepted"], size);
            }
        };
        join_all(std::mem::take(&mut self.outbox).into_iter().map(send)).await;
    }

    /// Sends everything that is left, and holds what clients know against what the service says.
    async fn settle(&mut self) {
        let rest = self.clients.iter_mut().map(Client::reports_all);
        self.outbox.extend(rest);
        self.deliver().await;
        let today = self.app.get("/aggregates/today?force_check=true").await.ok(200);
        for (label, of) in LABELS.iter().zip(&self.labels) {
            let counted = &today["models"][label];
            let counted = (counted["cost_usd_micros"].as_u64(), counted["requests"].as_u64());
            assert_eq!(counted, (Some(of.spend), Some(of.submissions)), "{} {label}", self.name());
        }
    }

    /// What was spent in hundredths of a percent of the reference load: of what the clients spend on average in the
    /// time they ran.
    pub(crate) fn load(&self) -> u64 {
        let ended = self.ended.expect("it ran");
        let ran: u64 = self.clients.iter().map(|client| ended - client.first_call).sum();
        let spent: u64 = self.labels.iter().map(|label| label.spend - label.spent_before).sum();
        spent * 10_000 * 1_000 / (ran * SPEND_PER_SEC)
    }

    pub(crate) fn name(&self) -> String {
        format!("scope {}, seed {}", self.scope, self.seed)
    }
}

/// What happens at an instant.
enum Event {
    /// Totals are added up, where the store needs that.
    Consolidation,
    /// A client makes its next call.
    Call { fleet: usize, client: usize },
    /// A call ends.
    Report { fleet: usize, client: usize, call: BedrockCall },
}

/// What is to come, in order; what comes at the same instant, in the order it was entered.
#[derive(Default)]
struct Agenda {
    events: BTreeMap<(Millis, u64), Event>,
    entered: u64,
}

impl Agenda {
    fn enter(&mut self, at: Millis, event: Event) {
        self.entered += 1;
        self.events.insert((at, self.entered), event);
    }
}

/// Runs all applications side by side until each has spent its labels. The server's clock moves with them.
pub(crate) async fn run(server: &TestServer, fleets: &mut [Fleet<'_>]) {
    let start = server.clock.now();
    let services = &server.app.services;
    let interval = u64::try_from(services.consolidator.interval().as_millis()).unwrap();
    let mut agenda = Agenda::default();
    if services.storage.consolidates() {
        agenda.enter(0, Event::Consolidation);
    }
    for (n, fleet) in fleets.iter().enumerate() {
        assert_eq!(fleet.clients.len() as u64, CLIENTS);
        for (client, of) in fleet.clients.iter().enumerate() {
            agenda.enter(of.first_call, Event::Call { fleet: n, client });
        }
    }
    while let Some(((now, _), event)) = agenda.events.pop_first() {
        let instant = start.checked_add(SignedDuration::from_millis(now.try_into().unwrap())).unwrap();
        server.clock.set(instant);
        match event {
            Event::Consolidation => {
                join_all(fleets.iter_mut().map(Fleet::deliver)).await;
                services.consolidation_turn().await.unwrap();
                if fleets.iter().any(|fleet| fleet.ended.is_none()) {
                    agenda.enter(now + interval, Event::Consolidation);
                }
            }
            Event::Call { fleet, client } => {
                if let Some((call, next)) = fleets[fleet].call(client, now).await {
                    agenda.enter(now + call.takes, Event::Report { fleet, client, call });
                    agenda.enter(next, Event::Call { fleet, client });
                }
            }
            Event::Report { fleet, client, call } => {
                fleets[fleet].report(client, &call, &server.request_id(), instant);
            }
        }
    }
    for fleet in fleets {
        fleet.settle().await;
    }
}
