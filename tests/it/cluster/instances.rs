//! Processes that share a store, and a client that talks to any of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::process::{ORG, cost};
use crate::support::process::Served;
use crate::support::stores::FreshStore;

const KEY: &str = "b7d1f0a2c3e4958677f1";
const JWT_SECRET: &str = "d94c1b7fe0a35826917c4be2f05d83a6c7e1940b58f2a36d";
/// Longest a test waits for something that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Several instances on one store. They end with this value.
pub(super) struct Instances {
    pub(super) served: Vec<Served>,
    pub(super) http: reqwest::Client,
    /// Working directories: no instance finds anything of another there.
    dirs: Vec<TempDir>,
    store: FreshStore,
}

impl Instances {
    /// Starts instances at once on an empty store, and waits until each of them serves.
    pub(super) async fn start(store: FreshStore, count: usize) -> Self {
        let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        let starting = dirs.iter().map(|dir| start(dir, store.url()));
        let served = futures::future::join_all(starting).await;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { served, http, dirs, store }
    }

    /// Kills an instance as nothing can be prepared for, and starts it again.
    pub(super) async fn kill_and_restart(&mut self, n: usize) {
        self.kill(n);
        self.served[n] = start(&self.dirs[n], self.store.url()).await;
    }

    /// Kills an instance with SIGKILL.
    pub(super) fn kill(&mut self, n: usize) {
        self.served[n].child.kill().unwrap();
        self.served[n].child.wait().unwrap();
    }

    pub(super) fn url(&self, n: usize) -> String {
        self.served[n % self.served.len()].url.clone()
    }

    /// A call of an administrator at one instance.
    pub(super) fn admin(&self, n: usize, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.url(n))).header("x-api-key", KEY)
    }

    /// Registers the organization with these quotas and the application `chat`; answers an access token of the
    /// application.
    pub(super) async fn provision(&self, quotas: &Value) -> String {
        let ordering: Vec<&String> = quotas.as_object().unwrap().keys().collect();
        let org = json!({
            "org_name": "Acme", "timezone": crate::process::timezone_far_from_midnight(), "quota_scope": "APP",
            "model_ordering": ordering, "quotas": quotas,
        });
        let answer = self.admin(0, Method::PUT, &format!("/orgs/{ORG}")).json(&org).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let app = json!({"app_name": "Chat", "secret_delivery": "inline"});
        let app: Value = self
            .admin(0, Method::PUT, &format!("/orgs/{ORG}/apps/chat"))
            .json(&app)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        self.log_in(0, &app["credentials"]).await
    }

    /// An access token from one instance.
    pub(super) async fn log_in(&self, n: usize, credentials: &Value) -> String {
        let grant = json!({
            "grant_type": "client_credentials",
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
        });
        let answer = self.http.post(format!("{}/auth/token", self.url(n))).json(&grant).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let tokens: Value = answer.json().await.unwrap();
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// A GET of the application at one instance.
    pub(super) async fn get(&self, n: usize, token: &str, path: &str) -> (StatusCode, Value) {
        let url = format!("{}/api/v1/orgs/{ORG}/apps/chat{path}", self.url(n));
        let answer = self.http.get(url).bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Today's totals, added up now.
    pub(super) async fn today(&self, n: usize, token: &str) -> Value {
        let (status, totals) = self.get(n, token, "/aggregates/today?force_check=true").await;
        assert_eq!(status, 200, "{totals}");
        totals
    }

    /// What submits at these instances, in turns, until it is told that it counts.
    pub(super) fn submitter(&self, token: &str) -> Submitter {
        let urls = (0..self.served.len()).map(|n| self.url(n)).collect();
        Submitter { http: self.http.clone(), urls: Arc::new(Mutex::new(urls)), token: token.to_owned() }
    }
}

async fn start(dir: &TempDir, store_url: &str) -> Served {
    let (dir, store_url) = (dir.path().to_owned(), store_url.to_owned());
    tokio::task::spawn_blocking(move || {
        let env = [
            ("COST_KEEPER_STORAGE__URL", store_url.as_str()),
            ("COST_KEEPER_STORAGE__AUTO_MIGRATE", "true"),
            ("COST_KEEPER_AUTH__JWT_SECRET", JWT_SECRET),
            ("COST_KEEPER_AUTH__PROVISIONING_KEYS", KEY),
            ("COST_KEEPER_METERING__CONSOLIDATION_INTERVAL_SECS", "1"),
            ("COST_KEEPER_LOG__LEVEL", "error"),
        ];
        Served::start_with_env(&dir, &[], &env)
    })
    .await
    .unwrap()
}

/// Submits as a careful client does: the same request again, here or elsewhere, until it is accepted.
#[derive(Clone)]
pub(super) struct Submitter {
    http: reqwest::Client,
    /// Where the instances are now; clones share it.
    urls: Arc<Mutex<Vec<String>>>,
    token: String,
}

impl Submitter {
    /// Follows an instance to its new address.
    pub(super) fn moved(&self, n: usize, url: String) {
        self.urls.lock().unwrap()[n] = url;
    }

    /// The instance an attempt goes to.
    fn url(&self, n: usize) -> String {
        let urls = self.urls.lock().unwrap();
        urls[n % urls.len()].clone()
    }

    /// One submission, starting at instance `n`. Answers whether it was a duplicate.
    pub(super) async fn submit(&self, n: usize, number: u64) -> bool {
        let answer = self.accepted(n, "/costs", &cost(&id(number), number), 202).await;
        answer["duplicate"].as_bool().unwrap()
    }

    /// A batch, starting at instance `n`.
    pub(super) async fn submit_batch(&self, n: usize, numbers: &[u64]) {
        let records: Vec<Value> = numbers.iter().map(|number| cost(&id(*number), *number)).collect();
        let answer = self.accepted(n, "/costs/batch", &json!({"requests": records}), 207).await;
        assert_eq!(answer["accepted"], numbers.len(), "{answer}");
    }

    async fn accepted(&self, n: usize, path: &str, body: &Value, expected: u16) -> Value {
        let started = Instant::now();
        let mut attempt = n;
        while started.elapsed() < PATIENCE {
            let url = self.url(attempt);
            attempt += 1;
            let request = self.http.post(format!("{url}/api/v1/orgs/{ORG}/apps/chat{path}"));
            match request.bearer_auth(&self.token).json(body).send().await {
                Ok(answer) if answer.status().as_u16() == expected => {
                    if let Ok(answer) = answer.json().await {
                        return answer;
                    }
                }
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {}
                // It was given up, is away or went away: whether it counted is unknown.
                Ok(answer) if answer.status() == StatusCode::REQUEST_TIMEOUT => {}
                Err(_) => {}
                Ok(answer) => panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not accepted within {PATIENCE:?}");
    }
}

/// Submission *n* costs *n* micro-USD, so a total tells exactly which were counted.
pub(super) fn id(n: u64) -> String {
    Uuid::from_u128(0x4000_8000_0000_0000_0000_u128 | u128::from(n)).to_string()
}

/// What the first `n` submissions come to.
pub(super) fn sum_up_to(n: u64) -> u64 {
    n * (n + 1) / 2
}

/// A small generator with a seed, so that a failing run can be repeated.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
