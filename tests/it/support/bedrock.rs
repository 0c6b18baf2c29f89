//! The control plane of Bedrock, imitated on this machine: `GET /inference-profiles/{id}` (restJson1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_bedrock::config::Credentials;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bedrock_cost_keeper::aws::inference_profiles::BedrockProfiles;
use bedrock_cost_keeper::config::BedrockConfig;
use serde_json::{Value, json};

use super::aws::Imitation;
use super::server::Setup;

/// How a question is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The profile has one model in these regions; an empty one is an ARN without a region.
    Models(Vec<&'static str>),
    /// This body, with status 200.
    Body(Value),
    /// `ResourceNotFoundException`.
    NotFound,
    /// `AccessDeniedException`.
    Denied,
    /// `ThrottlingException`, this often; then the models.
    Throttled(usize, Vec<&'static str>),
    /// A fault of AWS.
    Broken,
    /// Nothing, for longer than anybody waits.
    Silence,
    /// No JSON.
    Garbage,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) profile: String,
    pub(crate) authorization: String,
}

#[derive(Debug)]
struct Script {
    answer: Mutex<Answer>,
    questions: Mutex<Vec<Question>>,
    throttled: AtomicUsize,
}

/// The imitation. Ends with this value.
pub(crate) struct Bedrock {
    script: Arc<Script>,
    imitation: Imitation,
}

impl Bedrock {
    pub(crate) async fn start(answer: Answer) -> Self {
        let script = Arc::new(Script {
            answer: Mutex::new(answer),
            questions: Mutex::default(),
            throttled: AtomicUsize::new(0),
        });
        let router = Router::new().route("/inference-profiles/{id}", get(reply)).with_state(Arc::clone(&script));
        Self { script, imitation: Imitation::serving(router).await }
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.script.answer.lock().unwrap() = answer;
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        self.script.questions.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.questions().len()
    }

    /// Makes a server ask here.
    pub(crate) fn asked_by(&self, setup: &mut Setup, timeout: Duration) {
        let settings = BedrockConfig {
            enabled: true,
            endpoint_url: Some(self.imitation.url.clone()),
            timeout_ms: timeout.as_millis().try_into().unwrap(),
        };
        setup.config.aws.bedrock = settings.clone();
        let credentials = Credentials::new("AKIDTEST", "a test secret", None, None, "test");
        setup.profile_resolver = Some(Arc::new(BedrockProfiles::new(settings).with_credentials(credentials)));
    }
}

async fn reply(State(script): State<Arc<Script>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
    script.questions.lock().unwrap().push(Question { profile: id.clone(), authorization });
    let answer = script.answer.lock().unwrap().clone();
    match answer {
        Answer::Models(regions) => success(&id, &regions),
        Answer::Body(body) => json_body(StatusCode::OK, None, &body),
        Answer::NotFound => exception(StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        Answer::Denied => exception(StatusCode::FORBIDDEN, "AccessDeniedException"),
        Answer::Throttled(times, regions) => {
            if script.throttled.fetch_add(1, Ordering::SeqCst) < times {
                exception(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException")
            } else {
                success(&id, &regions)
            }
        }
        Answer::Broken => exception(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException"),
        Answer::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::OK.into_response()
        }
        Answer::Garbage => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "<html>").into_response(),
    }
}

fn success(id: &str, regions: &[&str]) -> Response {
    let models: Vec<_> = regions
        .iter()
        .map(|region| json!({"modelArn": format!("arn:aws:bedrock:{region}::foundation-model/amazon.nova-pro-v1:0")}))
        .collect();
    json_body(StatusCode::OK, None, &profile(id, &json!(models)))
}

/// An answer with these models.
pub(crate) fn profile(id: &str, models: &Value) -> Value {
    json!({
        "inferenceProfileName": "support", "inferenceProfileArn": id, "inferenceProfileId": "abc123",
        "models": models, "status": "ACTIVE", "type": "APPLICATION", "createdAt": "2026-01-01T00:00:00Z",
    })
}

fn exception(status: StatusCode, name: &str) -> Response {
    json_body(status, Some(name), &json!({"message": "no"}))
}

fn json_body(status: StatusCode, exception: Option<&str>, body: &Value) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if let Some(exception) = exception {
        response.headers_mut().insert("x-amzn-errortype", exception.parse().unwrap());
    }
    response
}
