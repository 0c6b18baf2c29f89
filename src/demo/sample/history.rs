//! Usage of the sample's past days: made as the service would have made it, committed through its queue.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::cli::CommandError;
use crate::clock::truncate_to_millis;
use crate::domain::calendar::{Calendar, Day};
use crate::domain::ids::{AppId, ModelLabel, RequestId};
use crate::domain::money::PicoUsd;
use crate::domain::pricing::{Latency, PriceQuery, Quote, ServiceTier};
use crate::domain::tenant::{Org, Quotas};
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{CallStatus, CostSource, RecordPricing, UsageRecord};
use crate::service::Services;
use crate::service::crypto::sha256;
use crate::storage::RecordOutcome;

/// Largest batch of one caller, as at the API.
const BATCH: usize = 100;
/// Most calls of an application on a day: an end also where nothing has a price, so that no quota is ever spent.
const MAX_CALLS: u32 = 200;
/// Percentage of the second label's quota at which today ends for the application that falls back: tight, not spent.
const TODAY_ENDS_AT_PCT: u128 = 92;
/// One call in so many failed.
const FAILURE_EVERY: u32 = 37;

/// An application and how it spends.
pub(super) struct AppHistory {
    pub(super) app_id: AppId,
    pub(super) ordering: Vec<ModelLabel>,
    /// Its quotas in effect.
    pub(super) quotas: Quotas,
    /// Whether it spends the first label's quota, today at least.
    pub(super) falls_back: bool,
}

/// Bytes that follow from application, day and number of a call: its id, and what varies about it.
struct Seed([u8; 32]);

impl Seed {
    fn of(app: &AppHistory, day: Day, number: u32) -> Self {
        Self(sha256(format!("bedrock-cost-keeper sample/{}/{day}/{number}", app.app_id).as_bytes()))
    }

    fn request_id(&self) -> RequestId {
        let id = self.0.first_chunk().copied().unwrap_or_default();
        RequestId(uuid::Builder::from_custom_bytes(id).into_uuid())
    }

    /// A number below `bound`; another one for each `place` in the second half, below 16.
    fn below(&self, place: usize, bound: u64) -> u64 {
        let bytes = self.0.iter().cycle().skip(16 + place).take(2);
        (bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte)) * bound) >> 16
    }

    fn tokens(&self) -> TokenCounts {
        let cached = self.below(4, 3) == 0;
        TokenCounts {
            input: 3_000 + self.below(0, 6_000),
            output: 300 + self.below(2, 1_200),
            cache_read: if cached { 1_024 + self.below(6, 3_072) } else { 0 },
            cache_write: 0,
            cache_write_1h: 0,
        }
    }
}

/// A call that was decided on; when it happened is still open.
struct Call {
    label: ModelLabel,
    model_id: String,
    seed: Seed,
    failed: bool,
    quote: Quote,
}

/// Makes and records usage.
pub(super) struct History<'a> {
    pub(super) services: &'a Services,
    pub(super) org: &'a Org,
    pub(super) now: Timestamp,
}

impl History<'_> {
    /// Records an application's usage of these days, the last of which is today.
    pub(super) async fn record(&self, app: &AppHistory, days: &[Day]) -> Result<(), CommandError> {
        let calendar = Calendar::new(&self.org.config.timezone)?;
        let mut records = Vec::new();
        for day in days {
            let (from, to) = (calendar.start_of(*day)?, calendar.end_of(*day)?);
            let today = self.now < to;
            let calls = self.calls(app, *day, today);
            // Today has happened only as far as now.
            let length = to.min(self.now).duration_since(from);
            for (number, call) in (1_i128..).zip(&calls) {
                let share = length.as_millis() * number / (i128::try_from(calls.len())? + 1);
                let at = from.checked_add(SignedDuration::from_millis(i64::try_from(share)?))?;
                records.push(self.record_of(app, *day, at, call));
            }
        }
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(BATCH));
            let batch = std::mem::replace(&mut records, rest);
            let outcomes = self.services.ingest.submit(batch).await?;
            // A duplicate is fine: an earlier sample was deleted, and its usage is still recorded.
            if outcomes.iter().any(|outcome| matches!(outcome, RecordOutcome::Overflow | RecordOutcome::Conflict)) {
                return Err("the store refused usage of the sample".into());
            }
        }
        Ok(())
    }

    /// The calls of a day: each with the first label that has room left, as the service would have recommended.
    fn calls(&self, app: &AppHistory, day: Day, today: bool) -> Vec<Call> {
        let of_day = Seed::of(app, day, 0);
        let wanted = match (app.falls_back, today) {
            (true, true) => MAX_CALLS,
            (true, false) => 45 + u32::try_from(of_day.below(0, 75)).unwrap_or(0),
            (false, _) => 20 + u32::try_from(of_day.below(0, 25)).unwrap_or(0),
        };
        let mut spent = vec![PicoUsd::ZERO; app.ordering.len()];
        let mut calls = Vec::new();
        for number in 1..=wanted {
            let room = |label: &ModelLabel, spent: &PicoUsd| {
                app.quotas.get(label).is_some_and(|quota| *spent < PicoUsd::from(*quota))
            };
            let Some((index, label, total)) = app
                .ordering
                .iter()
                .zip(&mut spent)
                .enumerate()
                .map(|(index, (label, spent))| (index, label, spent))
                .find(|(_, label, spent)| room(label, spent))
            else {
                break;
            };
            let ends_here = app.quotas.get(label).is_some_and(|quota| {
                let quota = PicoUsd::from(*quota).get();
                total.get() * 100 >= quota * TODAY_ENDS_AT_PCT
            });
            if today && index > 0 && ends_here {
                break;
            }
            let Some(entry) = self.services.catalog.get(label) else { break };
            let seed = Seed::of(app, day, number);
            let quote = self.services.pricer.quote(
                &PriceQuery {
                    model_id: &entry.bedrock_model_id,
                    region: None,
                    tier: ServiceTier::Default,
                    latency: Latency::Standard,
                    tokens: seed.tokens(),
                    cache_ttl_assumed: false,
                    at: self.services.now(),
                },
                Some(entry),
            );
            *total = total.checked_add(quote.cost).unwrap_or(*total);
            calls.push(Call {
                label: label.clone(),
                model_id: entry.bedrock_model_id.clone(),
                seed,
                failed: number % FAILURE_EVERY == 0,
                quote,
            });
        }
        calls
    }

    fn record_of(&self, app: &AppHistory, day: Day, at: Timestamp, call: &Call) -> UsageRecord {
        let request_id = call.seed.request_id();
        let quote = &call.quote;
        UsageRecord {
            org_id: self.org.org_id,
            app_id: app.app_id.clone(),
            request_id,
            // By the id alone: the same call is the same submission also after a release with other prices.
            fingerprint: sha256(format!("sample {request_id}").as_bytes()),
            model_label: call.label.clone(),
            day,
            timestamp: truncate_to_millis(at),
            recorded_at: truncate_to_millis(at),
            status: if call.failed { CallStatus::Error } else { CallStatus::Ok },
            cost_source: CostSource::Server,
            cost: quote.cost,
            server_cost: quote.source.map(|_| quote.cost),
            tokens: call.seed.tokens(),
            cache_ttl_assumed: false,
            pricing: RecordPricing {
                status: quote.status,
                source: quote.source,
                version: quote.version.as_ref().map(ToString::to_string),
                model_id: call.model_id.clone(),
            },
            calling_region: None,
            service_tier: ServiceTier::Default,
            latency: Latency::Standard,
            shard_id: shard_of(request_id.0, self.org.config.agg_shard_count),
        }
    }
}

/// Any spread below the number of shards does.
fn shard_of(id: Uuid, shards: u8) -> u8 {
    id.as_bytes().first().copied().unwrap_or(0) % shards.max(1)
}
