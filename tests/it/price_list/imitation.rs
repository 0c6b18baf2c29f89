//! A Pricing API on this machine, speaking AWS JSON 1.1 and misbehaving on demand.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::fixtures::Products;
use crate::support::aws::{Imitation, answer, error, is_for};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(super) enum Misbehaviour {
    /// `ThrottlingException`.
    Throttle,
    /// `AccessDeniedException`.
    Deny,
    /// A server error that is no JSON.
    Fail,
    /// Half of the body, then the connection ends.
    Truncate,
    /// No answer.
    Hang,
    /// This body with status 200.
    Say(String),
}

#[derive(Debug, Default)]
struct Behaviour {
    products: Products,
    page: usize,
    next: VecDeque<Misbehaviour>,
    always: Option<Misbehaviour>,
    same_token: bool,
    endless: bool,
    requests: usize,
}

/// The imitation. Ends with this value.
#[derive(Debug)]
pub(super) struct PricingApi {
    pub(super) url: String,
    _served: Imitation,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl PricingApi {
    pub(super) async fn serving(products: Products) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour { products, page: 100, ..Behaviour::default() }));
        let router = Router::new().route("/", post(get_products)).with_state(Arc::clone(&behaviour));
        let served = Imitation::serving(router).await;
        Self { url: served.url.clone(), _served: served, behaviour }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut self.behaviour.lock().unwrap())
    }

    pub(super) fn publish(&self, products: Products) {
        self.change(|behaviour| behaviour.products = products);
    }

    pub(super) fn pages_of(&self, products: usize) {
        self.change(|behaviour| behaviour.page = products);
    }

    /// The next requests go wrong like this, one each.
    pub(super) fn next(&self, next: impl IntoIterator<Item = Misbehaviour>) {
        self.change(|behaviour| behaviour.next.extend(next));
    }

    /// Every request goes wrong like this.
    pub(super) fn always(&self, always: impl Into<Option<Misbehaviour>>) {
        self.change(|behaviour| behaviour.always = always.into());
    }

    /// Every page has the same token.
    pub(super) fn repeat_tokens(&self) {
        self.change(|behaviour| behaviour.same_token = true);
    }

    /// There is always a further page.
    pub(super) fn never_end(&self) {
        self.change(|behaviour| behaviour.endless = true);
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> usize {
        self.change(|behaviour| behaviour.requests)
    }
}

async fn get_products(
    State(behaviour): State<Arc<Mutex<Behaviour>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Infallible> {
    if !is_for("AWSPriceListService.GetProducts", &headers) {
        return Ok(error("UnknownOperationException", ""));
    }
    let request: Value = serde_json::from_slice(&body).unwrap();
    let misbehaviour = {
        let mut behaviour = behaviour.lock().unwrap();
        behaviour.requests += 1;
        behaviour.next.pop_front().or(behaviour.always.clone())
    };
    Ok(match misbehaviour {
        None => page(&behaviour.lock().unwrap(), &request),
        Some(Misbehaviour::Throttle) => error("ThrottlingException", "Rate exceeded"),
        Some(Misbehaviour::Deny) => {
            error("AccessDeniedException", "no identity-based policy allows pricing:GetProducts")
        }
        Some(Misbehaviour::Fail) => (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>").into_response(),
        Some(Misbehaviour::Truncate) => {
            let half = Bytes::from_static(b"{\"FormatVersion\":\"aws_v1\",\"PriceList\":[\"{");
            let chunks = [Ok(half), Err(std::io::Error::other("gone"))];
            let body = Body::from_stream(futures::stream::iter(chunks));
            ([("content-type", "application/x-amz-json-1.1")], body).into_response()
        }
        Some(Misbehaviour::Hang) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            error("InternalErrorException", "awake")
        }
        Some(Misbehaviour::Say(text)) => answer(StatusCode::OK, text),
    })
}

fn page(behaviour: &Behaviour, request: &Value) -> Response {
    let Some(products) = request["ServiceCode"].as_str().and_then(|code| behaviour.products.get(code)) else {
        return error("NotFoundException", "no such service code");
    };
    assert_eq!(request["FormatVersion"], "aws_v1");
    let most = usize::try_from(request["MaxResults"].as_u64().unwrap()).unwrap();
    assert!(most <= 100, "the API admits a hundred");
    let start = match request["NextToken"].as_str() {
        None => 0,
        Some("same") => 1,
        Some(token) => match token.strip_prefix("page:").and_then(|start| start.parse::<usize>().ok()) {
            Some(start) => start,
            None => return error("InvalidNextTokenException", "not one of mine"),
        },
    };
    let end = (start + behaviour.page.min(most)).min(products.len());
    let mut answer_body = json!({"FormatVersion": "aws_v1", "PriceList": products.get(start..end).unwrap_or_default()});
    if behaviour.same_token {
        answer_body["NextToken"] = json!("same");
    } else if end < products.len() {
        answer_body["NextToken"] = json!(format!("page:{end}"));
    } else if behaviour.endless {
        answer_body["NextToken"] = json!(format!("page:{}", start + 1));
    }
    answer(StatusCode::OK, answer_body.to_string())
}
