//! The calls that are measured.

use axum::body::Bytes;
use bedrock_cost_keeper::domain::money::PicoUsd;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};

use crate::tenants::Tenant;

/// Records of a batch: the most the API takes.
pub(crate) const BATCH: u64 = 100;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Authenticates, and answers nothing: what a selection is compared with.
    NoopRead,
    /// Model selection.
    Selection,
    /// Authenticates, reads the body of a submission, and answers nothing.
    NoopWrite,
    /// One submission, durable when answered.
    Usage,
    /// A hundred submissions.
    Batch,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::NoopRead, Self::Selection, Self::NoopWrite, Self::Usage, Self::Batch];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoopRead => "no-op GET",
            Self::Selection => "model selection",
            Self::NoopWrite => "no-op POST",
            Self::Usage => "usage",
            Self::Batch => "usage batch of 100",
        }
    }

    /// What its throughput is divided by.
    pub(crate) fn baseline(self) -> Option<Self> {
        match self {
            Self::Selection => Some(Self::NoopRead),
            Self::Usage => Some(Self::NoopWrite),
            Self::NoopRead | Self::NoopWrite | Self::Batch => None,
        }
    }

    /// Submissions that each answer acknowledges.
    pub(crate) fn records(self) -> u64 {
        match self {
            Self::Usage => 1,
            Self::Batch => BATCH,
            Self::NoopRead | Self::NoopWrite | Self::Selection => 0,
        }
    }

    pub(crate) fn expected(self) -> StatusCode {
        match self {
            Self::NoopRead | Self::Selection => StatusCode::OK,
            Self::NoopWrite | Self::Usage => StatusCode::ACCEPTED,
            Self::Batch => StatusCode::MULTI_STATUS,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::NoopRead | Self::NoopWrite => "noop",
            Self::Selection => "model-selection",
            Self::Usage => "usage",
            Self::Batch => "usage/batch",
        }
    }

    /// A request with new ids, and what its submissions cost.
    pub(crate) fn request(self, tenant: &Tenant) -> (Request<Full<Bytes>>, PicoUsd) {
        let (method, body, cost) = match self {
            Self::NoopRead | Self::Selection => (Method::GET, String::new(), PicoUsd::ZERO),
            Self::NoopWrite => (Method::POST, submission().0, PicoUsd::ZERO),
            Self::Usage => {
                let (body, cost) = submission();
                (Method::POST, body, cost)
            }
            Self::Batch => {
                let (body, cost) = batch();
                (Method::POST, body, cost)
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{}", tenant.path, self.path()))
            .header("host", "127.0.0.1")
            .header("authorization", &tenant.authorization);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        (request.body(Full::new(Bytes::from(body))).unwrap(), cost)
    }
}

/// A submission as a client sends it, and its cost: tokens of the model's input cost 0.8, of its output 3.2 micro-USD.
fn submission() -> (String, PicoUsd) {
    let (input, output) = (fastrand::u64(1..4000), fastrand::u64(1..1000));
    // Random ids, as clients make them: sorted ones would make the index cheaper than it is.
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
    let body = format!(
        r#"{{"request_id":"{id}","model_label":"premium","status":"OK","usage":{{"inputTokens":{input},"outputTokens":{output}}}}}"#
    );
    (body, PicoUsd::new(u128::from(input) * 800_000 + u128::from(output) * 3_200_000))
}

fn batch() -> (String, PicoUsd) {
    let mut body = String::with_capacity(16 * 1024);
    let mut sum = PicoUsd::ZERO;
    body.push_str(r#"{"requests":["#);
    for n in 0..BATCH {
        let (submission, cost) = submission();
        if n > 0 {
            body.push(',');
        }
        body.push_str(&submission);
        sum = sum.checked_add(cost).unwrap();
    }
    body.push_str("]}");
    (body, sum)
}
