//! Recording what a call used: validated against the tenant's configuration, priced, dated, and committed once.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::access::UsageAccess;
use super::crypto::sha256;
use super::error::ServiceError;
use super::profiles::ResolvedProfiles;
use super::{Result, Services};
use crate::clock::truncate_to_millis;
use crate::domain::catalog::{LabelEntry, LabelKind};
use crate::domain::ids::{ModelLabel, RequestId};
use crate::domain::money::{MicroUsd, PicoUsd};
use crate::domain::pricing::{Latency, MAX_COST_PER_SUBMISSION, PriceQuery, ServiceTier, without_cached_input};
use crate::domain::profile::TenantLabels;
use crate::domain::quota::{LabelQuota, QuotaInput, evaluate};
use crate::domain::tenant::{Effective, QuotaScope};
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{CallStatus, CostSource, LabelTotals, RecordPricing, UsageRecord};
use crate::storage::RecordOutcome;

/// A submission as its meaning was understood; syntax is already checked.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Idempotency key.
    pub request_id: RequestId,
    /// Label it is charged to.
    pub model_label: ModelLabel,
    /// The model that was called, where it is not the label's.
    pub bedrock_model_id: Option<String>,
    /// Region the call was made from.
    pub calling_region: Option<String>,
    /// Whether the call succeeded.
    pub status: CallStatus,
    /// When the call happened; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Tokens.
    pub tokens: TokenCounts,
    /// `totalTokens` of a Converse `usage` object: tells whether cached tokens were counted as input too.
    pub reported_total_tokens: Option<u64>,
    /// Whether the time to live of cache writes was assumed, because the submission did not say.
    pub cache_ttl_assumed: bool,
    /// Processing tier.
    pub service_tier: ServiceTier,
    /// Latency profile.
    pub latency: Latency,
    /// The client's own figure; it is charged then.
    pub client_cost: Option<MicroUsd>,
}

/// What is answered for a submission that counts, now or before.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The record as committed the first time.
    pub record: UsageRecord,
    /// Whether it was committed before.
    pub duplicate: bool,
    /// Totals of its label and day in the scope that owns the quota.
    pub daily_total: DailyTotalStatus,
}

/// Totals and quota status of one label on one day.
#[derive(Debug, Clone, Copy)]
pub struct DailyTotalStatus {
    /// The day's exact cost in the scope that owns the quota.
    pub cost: PicoUsd,
    /// The day's submissions in that scope.
    pub requests: u64,
    /// Daily quota; `None` for a label without one.
    pub quota: Option<MicroUsd>,
    /// Status of the binding quota; `None` for a label without one.
    pub status: Option<LabelQuota>,
}

/// The submission's meaning in one canonical form: equal for an identical repeat, whatever its JSON looked like.
/// The form is versioned, because it is compared with what an older release stored.
#[derive(Serialize)]
struct Canonical<'a> {
    version: u8,
    model_label: &'a str,
    bedrock_model_id: Option<&'a str>,
    calling_region: Option<&'a str>,
    ok: bool,
    timestamp_nanos: Option<String>,
    tokens: &'a TokenCounts,
    reported_total_tokens: Option<u64>,
    cache_ttl_assumed: bool,
    service_tier: ServiceTier,
    latency: Latency,
    cost_usd_micros: Option<MicroUsd>,
}

fn fingerprint(submission: &Submission) -> Result<[u8; 32]> {
    let canonical = Canonical {
        version: 1,
        model_label: submission.model_label.as_str(),
        bedrock_model_id: submission.bedrock_model_id.as_deref(),
        calling_region: submission.calling_region.as_deref(),
        ok: submission.status == CallStatus::Ok,
        timestamp_nanos: submission.timestamp.map(|at| at.as_nanosecond().to_string()),
        tokens: &submission.tokens,
        reported_total_tokens: submission.reported_total_tokens,
        cache_ttl_assumed: submission.cache_ttl_assumed,
        service_tier: submission.service_tier,
        latency: submission.latency,
        cost_usd_micros: submission.client_cost,
    };
    let bytes = serde_json::to_vec(&canonical).map_err(|e| ServiceError::Internal(e.to_string()))?;
    Ok(sha256(&bytes))
}

/// Spreads submissions over counter shards by their id, the same on every instance and backend.
fn shard_of(request_id: RequestId, shards: u8) -> u8 {
    let id = request_id.0.as_u128();
    let folded = (id >> 64) ^ (id & u128::from(u64::MAX));
    u8::try_from(folded % u128::from(shards.max(1))).unwrap_or(0)
}

impl Services {
    /// Records submissions of one application, each exactly once. Answers one result per submission, in order; one
    /// refused submission does not affect the others, and the good ones commit together.
    ///
    /// # Errors
    /// As a whole: [`ServiceError::NotFound`] for an unregistered application, [`ServiceError::Unavailable`] where
    /// nothing could be committed.
    pub async fn record(&self, access: &UsageAccess, submissions: &[Submission]) -> Result<Vec<Result<Receipt>>> {
        let (tenant, effective) = self.registered(&access.scope()).await?;
        let desk = Desk { access, effective: &effective, labels: TenantLabels::new(&self.catalog, &tenant.profiles) };
        let calls: Vec<_> = submissions.iter().filter_map(|submission| desk.call_to_resolve(submission)).collect();
        let profiles = self.resolve_profiles(calls.iter().map(|called| &**called)).await;
        let now = self.now();
        let mut results: Vec<Option<Result<Receipt>>> = Vec::with_capacity(submissions.len());
        let mut records = Vec::with_capacity(submissions.len());
        for submission in submissions {
            match self.prepare(&desk, &profiles, submission, now) {
                Ok(record) => {
                    records.push(record);
                    results.push(None);
                }
                Err(refusal) => results.push(Some(self.repeat_or(access, &effective, submission, refusal).await?)),
            }
        }
        let outcomes = self.ingest.submit(records.clone()).await?;
        let mut committed = records.into_iter().zip(outcomes);
        Ok(results
            .into_iter()
            .map(|refused| match refused {
                Some(result) => result,
                None => match committed.next() {
                    Some((record, outcome)) => receipt(&effective, record, outcome),
                    None => Err(ServiceError::Internal("a submission without an outcome".to_owned())),
                },
            })
            .collect())
    }

    /// A submission that would be refused now may be the repeat of one that was accepted before: its day is over, or
    /// its label was taken out. The repeat still gets the first outcome.
    async fn repeat_or(
        &self,
        access: &UsageAccess,
        effective: &Effective,
        submission: &Submission,
        refusal: ServiceError,
    ) -> Result<Result<Receipt>> {
        let (org_id, app_id) = (access.org_id(), access.app_id());
        let Some(first) = self.storage.usage(org_id, app_id, submission.request_id).await? else {
            return Ok(Err(refusal));
        };
        if first.fingerprint != fingerprint(submission)? {
            return Ok(Err(ServiceError::IdempotencyConflict));
        }
        let totals = self.storage.label_totals(org_id, app_id, &first.model_label, first.day).await?;
        let daily_total = status(effective, &first.model_label, &totals);
        Ok(Ok(Receipt { record: first, duplicate: true, daily_total }))
    }

    /// Everything about a submission that needs no further IO: is it possible, which day is it, what does it cost.
    fn prepare(
        &self,
        desk: &Desk<'_>,
        profiles: &ResolvedProfiles,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<UsageRecord> {
        let Desk { access, effective, .. } = desk;
        let entry = desk.configured(&submission.model_label)?;
        if entry.kind == LabelKind::Profile && submission.calling_region.is_none() {
            return Err(ServiceError::invalid(
                "calling_region",
                "is required because the label is an inference profile, whose price depends on it",
            ));
        }
        let timestamp = submission.timestamp.unwrap_or(now);
        let window = effective.calendar.accepted_window(now)?;
        if !window.contains(timestamp) {
            return Err(ServiceError::OutsideWindow(window));
        }
        let priced = profiles.priced(called(submission, &entry));
        // Where the operator set a price for what was called, that counts, whoever else's call explained the profile.
        let (model_id, profile_region) = match has_own_price(submission, &entry) {
            true => (called(submission, &entry), None),
            false => (priced.model_id, priced.profile_region),
        };
        let region = submission.calling_region.as_deref().or(profile_region);
        let tokens = without_cached_input(model_id, submission.tokens, submission.reported_total_tokens);
        let quote = self.pricer.quote(
            &PriceQuery {
                model_id,
                region,
                tier: submission.service_tier,
                latency: submission.latency,
                tokens,
                cache_ttl_assumed: submission.cache_ttl_assumed,
                at: now,
            },
            Some(&entry),
        );
        let server_cost = quote.server_cost(&tokens);
        let (cost_source, cost) = match submission.client_cost {
            Some(micros) => (CostSource::Client, PicoUsd::from(micros)),
            None => (CostSource::Server, quote.cost),
        };
        if cost > MAX_COST_PER_SUBMISSION || server_cost.is_some_and(|cost| cost > MAX_COST_PER_SUBMISSION) {
            let field = if submission.client_cost.is_some() { "cost_usd_micros" } else { "input_tokens" };
            return Err(ServiceError::invalid(field, "the cost of one submission must not exceed 1000000 USD"));
        }
        Ok(UsageRecord {
            org_id: access.org_id(),
            app_id: access.app_id().clone(),
            request_id: submission.request_id,
            fingerprint: fingerprint(submission)?,
            model_label: submission.model_label.clone(),
            day: effective.calendar.day_of(timestamp),
            timestamp: truncate_to_millis(timestamp),
            recorded_at: now,
            status: submission.status,
            cost_source,
            cost,
            server_cost,
            tokens,
            cache_ttl_assumed: submission.cache_ttl_assumed,
            pricing: RecordPricing {
                status: quote.status,
                source: quote.source,
                version: quote.version.map(|version| version.to_string()),
                model_id: model_id.to_owned(),
            },
            calling_region: region.map(str::to_owned),
            service_tier: submission.service_tier,
            latency: submission.latency,
            shard_id: shard_of(submission.request_id, effective.agg_shard_count),
        })
    }
}

/// Where submissions of one application are taken in.
struct Desk<'a> {
    access: &'a UsageAccess,
    effective: &'a Effective,
    labels: TenantLabels<'a>,
}

impl<'a> Desk<'a> {
    /// What a label means that this application may charge to: a profile of its own, or a label of the catalog that its
    /// ordering or quotas name.
    fn configured(&self, label: &ModelLabel) -> Result<Cow<'a, LabelEntry>> {
        let Effective { model_ordering, quotas, .. } = self.effective;
        let named = |label: &ModelLabel| model_ordering.value.contains(label) || quotas.value.contains_key(label);
        let usable = named(label) || self.labels.profile(label).is_some();
        self.labels.get(label).filter(|_| usable).ok_or_else(|| {
            let of_catalog = self.labels.catalog_labels().filter(|label| named(label));
            let configured: BTreeSet<_> = of_catalog.chain(self.labels.profile_labels()).cloned().collect();
            ServiceError::InvalidModelLabel { label: label.to_string(), configured: configured.into_iter().collect() }
        })
    }

    /// What a submission called, where that may be a profile only AWS can explain. Nobody is asked about what is refused
    /// anyway, or has a price set by the operator.
    fn call_to_resolve(&self, submission: &Submission) -> Option<String> {
        let entry = self.configured(&submission.model_label).ok()?;
        let called = called(submission, &entry);
        (called.starts_with("arn:") && !has_own_price(submission, &entry)).then(|| called.to_owned())
    }
}

/// Whether the label's own model was called and the operator set a price for it.
fn has_own_price(submission: &Submission, entry: &LabelEntry) -> bool {
    entry.price_override.is_some() && called(submission, entry) == entry.bedrock_model_id
}

/// The model that was called: what the submission says, else the label's.
fn called<'a>(submission: &'a Submission, entry: &'a LabelEntry) -> &'a str {
    submission.bedrock_model_id.as_deref().unwrap_or(&entry.bedrock_model_id)
}

fn receipt(effective: &Effective, record: UsageRecord, outcome: RecordOutcome) -> Result<Receipt> {
    match outcome {
        RecordOutcome::Accepted(totals) => {
            let daily_total = status(effective, &record.model_label, &totals);
            Ok(Receipt { record, duplicate: false, daily_total })
        }
        RecordOutcome::Duplicate(first, totals) => {
            let daily_total = status(effective, &first.model_label, &totals);
            Ok(Receipt { record: *first, duplicate: true, daily_total })
        }
        RecordOutcome::Conflict => Err(ServiceError::IdempotencyConflict),
        RecordOutcome::Overflow => Err(ServiceError::invalid(
            "request_id",
            "the totals of this label would exceed the largest amount that can be counted",
        )),
    }
}

/// Quota status of a label from its totals, in the scope that owns the quota.
fn status(effective: &Effective, label: &ModelLabel, totals: &LabelTotals) -> DailyTotalStatus {
    let spend = match effective.quota_scope {
        QuotaScope::Org => totals.org,
        QuotaScope::App => totals.app,
    };
    let quota = effective.quotas.value.get(label).copied();
    let status = quota.map(|day_quota| {
        evaluate(&QuotaInput {
            day_spend: spend.day.cost,
            day_quota,
            month_spend: spend.month.cost,
            month_quota: effective.monthly_quotas.value.get(label).copied(),
            tight_threshold_pct: effective.tight_mode_threshold_pct.value,
        })
    });
    DailyTotalStatus { cost: spend.day.cost, requests: spend.day.requests, quota, status }
}
