//! Between a store and DynamoDB Local: holds calls back, fails them or answers them in part, where a test says so.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bedrock_cost_keeper::storage::DynamoDbOptions;
use bedrock_cost_keeper::storage::dynamodb::DynamoDbStorage;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A call that a rule concerns: its operation, and something in its body.
struct Concerned {
    operation: &'static str,
    part: String,
}

enum Rule {
    Hold(oneshot::Sender<()>, oneshot::Receiver<()>),
    Fail,
    /// Only the first key of a batch is read; the others are left unprocessed.
    ReadOne,
}

#[derive(Default)]
struct Shared {
    endpoint: String,
    client: reqwest::Client,
    rules: Mutex<Vec<(Concerned, Rule)>>,
    operations: Mutex<Vec<String>>,
}

/// The wire. It ends with this value.
pub(super) struct Wire {
    endpoint: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// A call that is held back.
pub(super) struct Held {
    arrived: Option<oneshot::Receiver<()>>,
    release: oneshot::Sender<()>,
}

impl Held {
    /// Returns once the call was made.
    pub(super) async fn arrived(&mut self) {
        self.arrived.take().expect("asked once").await.expect("the call is made");
    }

    /// Lets the call go on.
    pub(super) fn release(self) {
        self.release.send(()).expect("the call waits");
    }
}

impl Wire {
    /// A wire to the server of a store's address.
    pub(super) async fn to(rest: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { endpoint: endpoint_of(rest).to_owned(), ..Shared::default() });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        Self { endpoint, shared, _stop: stop.drop_guard() }
    }

    /// A store on this wire, patient enough for calls that are held back.
    pub(super) async fn storage(&self, rest: &str) -> DynamoDbStorage {
        let patience = std::time::Duration::from_secs(30);
        let options =
            DynamoDbOptions { attempt_timeout: patience, operation_timeout: patience, ..DynamoDbOptions::default() };
        let rest = rest.replace(endpoint_of(rest), &self.endpoint);
        DynamoDbStorage::open(&rest, &options).await.unwrap()
    }

    /// Holds back the next call of an operation with `part` in its body.
    pub(super) fn hold(&self, operation: &'static str, part: &str) -> Held {
        let (arrives, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.rule(operation, part, Rule::Hold(arrives, released));
        Held { arrived: Some(arrived), release }
    }

    /// The next calls of an operation fail.
    pub(super) fn fail(&self, operation: &'static str, times: usize) {
        (0..times).for_each(|_| self.rule(operation, "", Rule::Fail));
    }

    /// The next batches of reads are read in part.
    pub(super) fn read_one_of_a_batch(&self, times: usize) {
        (0..times).for_each(|_| self.rule("BatchGetItem", "", Rule::ReadOne));
    }

    /// Whether every rule was met.
    pub(super) fn is_through(&self) -> bool {
        self.shared.rules.lock().unwrap().is_empty()
    }

    /// How often an operation was called.
    pub(super) fn calls(&self, operation: &str) -> usize {
        self.shared.operations.lock().unwrap().iter().filter(|of| *of == operation).count()
    }

    fn rule(&self, operation: &'static str, part: &str, rule: Rule) {
        self.shared.rules.lock().unwrap().push((Concerned { operation, part: part.to_owned() }, rule));
    }
}

fn endpoint_of(rest: &str) -> &str {
    let start = rest.find("http://").expect("an endpoint");
    rest[start..].split('&').next().expect("its value")
}

async fn pass(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    shared.operations.lock().unwrap().push(operation.clone());
    let rule = {
        let mut rules = shared.rules.lock().unwrap();
        let of = rules.iter().position(|(of, _)| of.operation == operation && text.contains(&of.part));
        of.map(|of| rules.remove(of).1)
    };
    match rule {
        None => forward(&shared, headers, text).await.into_response(),
        Some(Rule::Hold(arrives, released)) => {
            arrives.send(()).unwrap();
            // A test that failed releases nothing.
            let _ = released.await;
            forward(&shared, headers, text).await.into_response()
        }
        Some(Rule::Fail) => {
            let error = json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError" });
            (StatusCode::INTERNAL_SERVER_ERROR, JSON, error.to_string()).into_response()
        }
        Some(Rule::ReadOne) => {
            let mut request: Value = serde_json::from_str(&text).unwrap();
            let tables = request["RequestItems"].as_object_mut().unwrap();
            let (table, keys) = tables.iter_mut().next().unwrap();
            let (table, all) = (table.clone(), keys["Keys"].as_array_mut().unwrap());
            let rest = all.split_off(1);
            let mut unprocessed = request["RequestItems"].clone();
            unprocessed[&table]["Keys"] = Value::Array(rest);
            let (status, _, answer) = forward(&shared, headers, request.to_string()).await;
            let mut answer: Value = serde_json::from_str(&answer).unwrap();
            answer["UnprocessedKeys"] = unprocessed;
            (status, JSON, answer.to_string()).into_response()
        }
    }
}

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];

async fn forward(
    shared: &Shared,
    mut headers: HeaderMap,
    body: String,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    for ours in [header::HOST, header::CONTENT_LENGTH] {
        headers.remove(ours);
    }
    let answer = shared.client.post(&shared.endpoint).headers(headers).body(body).send().await.unwrap();
    (answer.status(), JSON, answer.text().await.unwrap())
}
