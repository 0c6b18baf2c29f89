//! AWS Secrets Manager on this machine: `GetSecretValue` in AWS JSON 1.1, misbehaving on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::aws::{Imitation, answer, error, header, is_for};

/// What is kept as one version of a secret.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Text(String),
    Binary(Vec<u8>),
    /// Answered with `AccessDeniedException`.
    Denied,
    /// Never answered.
    Hangs,
    /// Answered with a body that is no JSON, status 200, and the text in it.
    Garbled(String),
}

#[derive(Debug, Default)]
struct Behaviour {
    /// By id, the version in force and the one before.
    secrets: BTreeMap<String, (Kept, Option<Kept>)>,
    /// Server errors that come first.
    failures: usize,
    /// Id, stage and region of each request.
    asked: Vec<(String, String, String)>,
}

/// The imitation. Ends with this value.
#[derive(Debug)]
pub(crate) struct SecretsManagerApi {
    pub(crate) url: String,
    _served: Imitation,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl SecretsManagerApi {
    pub(crate) async fn start() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let router = Router::new().route("/", post(get_secret_value)).with_state(Arc::clone(&behaviour));
        let served = Imitation::serving(router).await;
        Self { url: served.url.clone(), _served: served, behaviour }
    }

    /// Keeps a secret, without a version before.
    pub(crate) fn keep(&self, id: &str, kept: Kept) {
        self.behaviour.lock().unwrap().secrets.insert(id.to_owned(), (kept, None));
    }

    pub(crate) fn text(&self, id: &str, text: &str) {
        self.keep(id, Kept::Text(text.to_owned()));
    }

    /// Puts a new version in force; the one in force is the one before.
    pub(crate) fn rotate(&self, id: &str, text: &str) {
        let secrets = &mut self.behaviour.lock().unwrap().secrets;
        let (current, _) = secrets.remove(id).unwrap();
        secrets.insert(id.to_owned(), (Kept::Text(text.to_owned()), Some(current)));
    }

    /// The next requests are answered with a server error.
    pub(crate) fn fail(&self, requests: usize) {
        self.behaviour.lock().unwrap().failures = requests;
    }

    /// Id, stage and region of each request so far.
    pub(crate) fn asked(&self) -> Vec<(String, String, String)> {
        self.behaviour.lock().unwrap().asked.clone()
    }
}

async fn get_secret_value(State(behaviour): State<Arc<Mutex<Behaviour>>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_for("secretsmanager.GetSecretValue", &headers) {
        return error("UnknownOperationException", "");
    }
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (id, stage) = (request["SecretId"].as_str().unwrap(), request["VersionStage"].as_str().unwrap());
    let region = header("authorization", &headers).split('/').nth(2).unwrap().to_owned();
    let kept = {
        let mut behaviour = behaviour.lock().unwrap();
        behaviour.asked.push((id.to_owned(), stage.to_owned(), region));
        if behaviour.failures > 0 {
            behaviour.failures -= 1;
            return (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>").into_response();
        }
        match (behaviour.secrets.get(id), stage) {
            (Some((current, _)), "AWSCURRENT") => Some(current.clone()),
            (Some((_, previous)), "AWSPREVIOUS") => previous.clone(),
            _ => None,
        }
    };
    let found = |member: &str, value: String| {
        let version = json!({
            "ARN": format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{id}-AbCdEf"), "Name": id,
            "VersionId": "a-version-of-a-test", "VersionStages": [stage], "CreatedDate": 1_700_000_000, member: value,
        });
        answer(StatusCode::OK, version.to_string())
    };
    match kept {
        Some(Kept::Text(text)) => found("SecretString", text),
        Some(Kept::Binary(bytes)) => found("SecretBinary", STANDARD.encode(bytes)),
        Some(Kept::Denied) => {
            error("AccessDeniedException", "no identity-based policy allows secretsmanager:GetSecretValue")
        }
        Some(Kept::Hangs) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            error("InternalServiceError", "awake")
        }
        Some(Kept::Garbled(text)) => answer(StatusCode::OK, text),
        None => error("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
    }
}
