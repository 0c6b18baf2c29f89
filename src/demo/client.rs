//! An application that does as advised: asks which model to use, keeps the answer as long as it may, calls Bedrock
//! itself, reports the usage that came back, and waits where the service says that nothing is left.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Answer, ask, ask_again};
use super::ledger::{Ledger, LedgerKey, Tokens, micros};
use super::scenario::{ORG, day_of};
use super::session::{Credentials, Session};
use super::stage::Stage;
use crate::cli::CommandError;
use crate::clock::{Clock, ManualClock};
use crate::ids::{Random, SequenceRng};

/// What stands in a URL path segment as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parts of a model selection this client uses.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Selection {
    pub(super) recommended_model: RecommendedModel,
    pub(super) quota_status: QuotaStatus,
    pricing: Pricing,
    client_guidance: ClientGuidance,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RecommendedModel {
    pub(super) label: String,
    pub(super) bedrock_model_id: String,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct QuotaStatus {
    pub(super) mode: String,
    pub(super) spend_usd_micros: u64,
    pub(super) quota_usd_micros: u64,
    pub(super) quota_pct: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Pricing {
    input_price_usd_micros_per_1m: Option<u64>,
    output_price_usd_micros_per_1m: Option<u64>,
    cache_read_price_usd_micros_per_1m: Option<u64>,
}

impl Pricing {
    /// Exact cost in pico-dollars; `None` where a price is missing.
    fn cost(&self, tokens: Tokens) -> Option<u128> {
        let product = |count: u64, price: Option<u64>| match count {
            0 => Some(0),
            count => Some(u128::from(count) * u128::from(price?)),
        };
        Some(
            product(tokens.input, self.input_price_usd_micros_per_1m)?
                + product(tokens.output, self.output_price_usd_micros_per_1m)?
                + product(tokens.cache_read, self.cache_read_price_usd_micros_per_1m)?,
        )
    }
}

#[derive(Debug, Clone, Deserialize)]
struct ClientGuidance {
    cache_duration_secs: i64,
}

/// What the client goes by.
#[derive(Debug)]
pub(super) enum Advice {
    /// An answer just given.
    Fresh(Selection),
    /// An earlier answer that may still be used.
    Kept(Selection),
    /// Just told that every quota is spent, until this instant.
    Exhausted(Timestamp),
    /// Told so earlier; the instant has not come.
    Waiting,
}

/// A call to Bedrock that is to be reported.
#[derive(Debug)]
pub(super) struct Call {
    submission: Value,
    pico_usd: u128,
}

impl Call {
    fn check_cost(&self, answered: u64) -> Result<(), CommandError> {
        let own = micros(self.pico_usd);
        if own != u128::from(answered) {
            return Err(format!(
                "the client computed a cost of {own} micro-USD, the service {answered}: {}",
                self.submission
            )
            .into());
        }
        Ok(())
    }
}

/// The parts of a submission's answer this client uses.
#[derive(Debug, Deserialize)]
pub(super) struct Receipt {
    pub(super) duplicate: bool,
    processing: Processing,
    pub(super) daily_total: DailyTotal,
}

#[derive(Debug, Deserialize)]
struct Processing {
    cost_usd_micros: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct DailyTotal {
    requests: u64,
    cost_usd_micros: u64,
}

#[derive(Debug, Deserialize)]
struct BatchAnswer {
    accepted: usize,
    results: Vec<BatchResult>,
}

#[derive(Debug, Deserialize)]
struct BatchResult {
    cost_usd_micros: Option<u64>,
}

/// One application.
pub(super) struct AdvisedClient {
    /// Its name.
    pub(super) app: &'static str,
    /// What it added up.
    pub(super) ledger: Ledger,
    /// Its tokens.
    pub(super) session: Session,
    http: reqwest::Client,
    api: String,
    bedrock: String,
    clock: Arc<ManualClock>,
    ids: SequenceRng,
    /// The newest answer and until when it may be used.
    kept: Option<(Selection, Timestamp)>,
    paused_until: Option<Timestamp>,
    calls: u32,
    batch: Vec<Call>,
}

impl AdvisedClient {
    /// A client of the application `app`.
    pub(super) fn new(stage: &Stage, http: reqwest::Client, app: &'static str, credentials: Credentials) -> Self {
        let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as Arc<dyn Clock>;
        // Applications must not share ids: the name makes the seed.
        let seed = app.bytes().fold(0_u64, |seed, byte| (seed << 8) ^ (seed >> 40) ^ u64::from(byte));
        Self {
            app,
            ledger: Ledger::default(),
            session: Session::new(http.clone(), &stage.api, clock, credentials),
            http,
            api: stage.api.clone(),
            bedrock: stage.bedrock.clone(),
            clock: Arc::clone(&stage.clock),
            ids: SequenceRng::new(seed),
            kept: None,
            paused_until: None,
            calls: 0,
            batch: Vec::new(),
        }
    }

    fn url_of(&self, app: &str, rest: &str) -> String {
        format!("{}/api/v1/orgs/{ORG}/apps/{app}/{rest}", self.api)
    }

    /// Asks for another application's recommendation, which is none of its business.
    pub(super) async fn status_for(&mut self, other_app: &str) -> Result<StatusCode, CommandError> {
        let token = self.session.access_token().await?;
        let request = self.http.get(self.url_of(other_app, "model-selection")).bearer_auth(token);
        Ok(ask("model-selection of another application", request).await?.status)
    }

    /// What to go by now. Asks the service only where the last answer may no longer be used.
    pub(super) async fn advice(&mut self) -> Result<Advice, CommandError> {
        let now = self.clock.now();
        if self.paused_until.is_some_and(|until| now < until) {
            return Ok(Advice::Waiting);
        }
        if let Some((selection, until)) = &self.kept
            && now < *until
        {
            return Ok(Advice::Kept(selection.clone()));
        }
        let token = self.session.access_token().await?;
        let request = self.http.get(self.url_of(self.app, "model-selection")).bearer_auth(token);
        let answer = ask(format!("model-selection of {}", self.app), request).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return self.told_to_wait(&answer, now);
        }
        let selection: Selection = answer.expect(StatusCode::OK)?;
        let keep = SignedDuration::from_secs(selection.client_guidance.cache_duration_secs);
        self.kept = Some((selection.clone(), now.checked_add(keep)?));
        self.paused_until = None;
        Ok(Advice::Fresh(selection))
    }

    fn told_to_wait(&mut self, answer: &Answer, now: Timestamp) -> Result<Advice, CommandError> {
        let Some(seconds) = answer.retry_after else {
            return Err(format!("429 without a Retry-After header: {}", answer.body).into());
        };
        let by_header = now.checked_add(SignedDuration::from_secs(seconds))?;
        if answer.error_code() == "QUOTA_EXCEEDED" {
            let named = answer.body.get("retry_after").and_then(Value::as_str).unwrap_or_default();
            let until: Timestamp = named.parse().map_err(|_| format!("429 with a bad retry_after {named:?}"))?;
            // The header counts whole seconds; nobody is told to come back too early.
            if by_header < until || SignedDuration::from_secs(1) < by_header.duration_since(until) {
                return Err(format!("429: Retry-After says {by_header}, retry_after {until}").into());
            }
            self.kept = None;
            self.paused_until = Some(until);
            return Ok(Advice::Exhausted(until));
        }
        // Asked too often: what is known has to do for so long.
        match self.kept.take() {
            Some((selection, _)) => {
                self.kept = Some((selection.clone(), by_header));
                Ok(Advice::Kept(selection))
            }
            None => Err(format!("429 on the first question: {}", answer.body).into()),
        }
    }

    /// Calls the recommended model and prepares the report of what it used.
    pub(super) async fn call(&mut self, selection: &Selection) -> Result<Call, CommandError> {
        self.calls += 1;
        let model = &selection.recommended_model;
        let id = utf8_percent_encode(&model.bedrock_model_id, UNRESERVED);
        let prompt = format!("{}: task {}", self.app, self.calls);
        let request = self.http.post(format!("{}/model/{id}/converse", self.bedrock)).json(&json!({
            "messages": [{"role": "user", "content": [{"text": prompt}]}],
        }));
        let answer: Value =
            ask(format!("Converse with {}", model.bedrock_model_id), request).await?.expect(StatusCode::OK)?;
        let usage = answer.get("usage").ok_or("the Converse response has no usage")?;
        let tokens = Tokens::of(usage).ok_or("the Converse response's usage has no token counts")?;
        let pico_usd = selection.pricing.cost(tokens).ok_or_else(|| format!("{} has no price", model.label))?;
        let now = self.clock.now();
        let key = LedgerKey { day: day_of(now).to_owned(), app: self.app.to_owned(), label: model.label.clone() };
        self.ledger.add_call(key, tokens, pico_usd);
        let submission = json!({
            "request_id": self.ids.uuid()?,
            "model_label": model.label,
            "bedrock_model_id": model.bedrock_model_id,
            "status": "OK",
            "timestamp": now.to_string(),
            "usage": usage,
        });
        Ok(Call { submission, pico_usd })
    }

    /// Reports one call. The request id makes it safe to repeat.
    pub(super) async fn submit(&mut self, call: &Call) -> Result<Receipt, CommandError> {
        let token = self.session.access_token().await?;
        let url = self.url_of(self.app, "usage");
        let request = || self.http.post(&url).bearer_auth(&token).json(&call.submission);
        let receipt: Receipt = ask_again("submission of usage", request).await?.expect(StatusCode::ACCEPTED)?;
        call.check_cost(receipt.processing.cost_usd_micros)?;
        Ok(receipt)
    }

    /// Keeps a call to be reported with others.
    pub(super) fn keep_for_batch(&mut self, call: Call) {
        self.batch.push(call);
    }

    /// Calls not yet reported.
    pub(super) fn unreported(&self) -> usize {
        self.batch.len()
    }

    /// Reports what was kept, together.
    pub(super) async fn submit_batch(&mut self) -> Result<(), CommandError> {
        let calls = std::mem::take(&mut self.batch);
        if calls.is_empty() {
            return Ok(());
        }
        let token = self.session.access_token().await?;
        let url = self.url_of(self.app, "usage/batch");
        let body = json!({"requests": calls.iter().map(|call| &call.submission).collect::<Vec<_>>()});
        let request = || self.http.post(&url).bearer_auth(&token).json(&body);
        let answer: BatchAnswer =
            ask_again("submission of a batch", request).await?.expect(StatusCode::MULTI_STATUS)?;
        if answer.accepted != calls.len() || answer.results.len() != calls.len() {
            return Err(format!("a batch of {} calls was not accepted as a whole: {answer:?}", calls.len()).into());
        }
        for (call, result) in calls.iter().zip(&answer.results) {
            call.check_cost(result.cost_usd_micros.ok_or("an accepted record without a cost")?)?;
        }
        Ok(())
    }
}
