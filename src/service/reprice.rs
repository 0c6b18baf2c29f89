//! Repricing: what was recorded without a price, or with a stand-in for one, gets the price in force now.
//!
//! Old requests are never repriced silently: an administrator asks for it, and sees first what would change. A record
//! with its price is not touched at all. Each correction is a compare-and-swap that moves the record and its totals
//! together, so a run may be interrupted, repeated, or made beside submissions and other runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::access::ProvisioningAccess;
use super::audit::Entry;
use super::error::ServiceError;
use super::profiles::ResolvedProfiles;
use super::{Result, Services};
use crate::domain::audit::{AuditAction, AuditOutcome};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId};
use crate::domain::money::CostDrift;
use crate::domain::pricing::{MAX_COST_PER_SUBMISSION, PriceQuery, PricingStatus};
use crate::domain::usage::{Counters, Figures, RecordPricing, UsageRecord};
use crate::storage::{Reprice, RepriceFilter, RepriceOutcome, RepricePosition};

/// Most records one call looks at: some tenths of a second of work, far below the time a request may take.
pub const MAX_EXAMINED: u32 = 2_000;
/// Most records read, and corrected, in one step: for so many a writer may be kept waiting.
const MAX_PAGE: usize = 250;

/// What to reprice.
#[derive(Debug, Clone)]
pub struct RepriceRequest {
    /// Which records.
    pub filter: RepriceFilter,
    /// Only say what would change.
    pub dry_run: bool,
    /// Where to continue: after this record.
    pub after: Option<RepricePosition>,
    /// Most records to look at, up to [`MAX_EXAMINED`].
    pub budget: u32,
}

/// What a line of the report is about. The order of lines is that of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepriceGroup {
    /// The organization.
    pub org_id: OrgId,
    /// The local day.
    pub day: Day,
    /// The application.
    pub app_id: AppId,
    /// The model label.
    pub model_label: ModelLabel,
}

impl RepriceGroup {
    fn of(record: &UsageRecord) -> Self {
        Self {
            org_id: record.org_id,
            day: record.day,
            app_id: record.app_id.clone(),
            model_label: record.model_label.clone(),
        }
    }
}

/// What corrected records add to their totals, before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepriceAmounts {
    /// Before the correction.
    pub old: Counters,
    /// After it.
    pub new: Counters,
}

impl RepriceAmounts {
    fn add(&mut self, other: &Self) -> Result<()> {
        let sum = |a: &Counters, b| {
            a.checked_add(b).ok_or_else(|| ServiceError::Internal("a sum of corrections is out of range".to_owned()))
        };
        *self = Self { old: sum(&self.old, &other.old)?, new: sum(&self.new, &other.new)? };
        Ok(())
    }

    /// Records corrected.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.new.requests
    }

    /// Charged cost after minus before.
    #[must_use]
    pub fn cost_difference(&self) -> CostDrift {
        // Counters hold far less than the signed range.
        CostDrift::between(self.new.cost, self.old.cost).unwrap_or_default()
    }

    /// Drift after minus before.
    #[must_use]
    pub fn drift_difference(&self) -> CostDrift {
        self.new.drift.checked_sub(self.old.drift).unwrap_or_default()
    }
}

/// What repricing changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepriceReport {
    /// Whether it was carried out.
    pub applied: bool,
    /// Unpriced and estimated records looked at: all of the following together.
    pub examined: u64,
    /// Corrected, or with a dry run to be corrected.
    pub changed: u64,
    /// Left alone: there still is no price, or it comes to the same.
    pub unchanged: u64,
    /// Left alone: somebody else corrected or forgot them at the same time.
    pub stale: u64,
    /// Left alone: the corrected cost is larger than what can be counted.
    pub refused: u64,
    /// What changed.
    pub groups: BTreeMap<RepriceGroup, RepriceAmounts>,
    /// Where to continue; `None` when nothing is left to look at.
    pub next: Option<RepricePosition>,
}

impl RepriceReport {
    /// Adds the report of the call that continued this one.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where a sum is out of range.
    pub fn continue_with(&mut self, later: Self) -> Result<()> {
        self.examined += later.examined;
        self.changed += later.changed;
        self.unchanged += later.unchanged;
        self.stale += later.stale;
        self.refused += later.refused;
        for (group, amounts) in later.groups {
            self.groups.entry(group).or_default().add(&amounts)?;
        }
        self.next = later.next;
        Ok(())
    }

    /// All lines together.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where a sum is out of range.
    pub fn totals(&self) -> Result<RepriceAmounts> {
        let mut totals = RepriceAmounts::default();
        for amounts in self.groups.values() {
            totals.add(amounts)?;
        }
        Ok(totals)
    }

    fn add_change(&mut self, before: &UsageRecord, after: &UsageRecord) -> Result<()> {
        self.changed += 1;
        let amounts = RepriceAmounts { old: before.counters(), new: after.counters() };
        self.groups.entry(RepriceGroup::of(before)).or_default().add(&amounts)
    }
}

/// What the audit trail says of a call.
#[derive(Serialize)]
struct AuditedReprice {
    /// First local day.
    from: Option<Day>,
    /// Last local day.
    to: Option<Day>,
    /// How many records are to be corrected.
    records: u64,
}

/// What the prices in force make of a record.
enum Proposal {
    /// Still no price, or the same as before.
    Unchanged,
    /// More than one submission may cost.
    TooDear,
    /// Something else: the record as it would be.
    Change(Box<UsageRecord>),
}

impl Services {
    /// Prices unpriced and estimated records with the prices in force now; with `dry_run` only says what would change.
    /// Looks at no more than the budget: repeat with `after` set to the report's `next` until there is none.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the store is; what was corrected until then stays corrected, and repeating
    /// the call completes it.
    pub async fn reprice(&self, access: &ProvisioningAccess, request: &RepriceRequest) -> Result<RepriceReport> {
        let mut report = RepriceReport { applied: !request.dry_run, ..RepriceReport::default() };
        let records = self.repriceable(request, &mut report).await?;
        let profiles = self.resolve_profiles(records.iter().filter_map(|record| self.call_to_resolve(record))).await;
        let now = self.now();
        let mut changes = Vec::new();
        for record in &records {
            report.examined += 1;
            match self.proposal(record, &profiles, now) {
                Proposal::Unchanged => report.unchanged += 1,
                Proposal::TooDear => report.refused += 1,
                Proposal::Change(corrected) => changes.push((record, *corrected)),
            }
        }
        if request.dry_run || changes.is_empty() {
            self.correct(&changes, now, &mut report).await?;
            return Ok(report);
        }
        let RepriceFilter { scope, from, to } = &request.filter;
        let after = AuditedReprice { from: *from, to: *to, records: changes.len() as u64 };
        let entry = Entry::new(AuditAction::UsageRepriced, scope.clone()).states(None, Some(&after));
        let announced = self.announce(access.by(), entry).await?;
        match self.correct(&changes, now, &mut report).await {
            Ok(()) => self.settle(announced, AuditOutcome::Succeeded).await,
            Err(error) => {
                // Some pages may have been corrected, or none.
                Self::leave_pending(announced, &error);
                return Err(error);
            }
        }
        Ok(report)
    }

    /// Records read, and corrected, in one step.
    fn page_size(&self) -> usize {
        MAX_PAGE.min(self.storage.ingest_limits().max_batch).max(1)
    }

    /// The records a call is about. Notes in the report where the next one continues.
    async fn repriceable(&self, request: &RepriceRequest, report: &mut RepriceReport) -> Result<Vec<UsageRecord>> {
        let budget = usize::try_from(request.budget.clamp(1, MAX_EXAMINED)).unwrap_or(usize::MAX);
        let mut after = request.after.clone();
        let mut records = Vec::new();
        // One more than may be looked at tells whether anything follows.
        while records.len() <= budget {
            let asked = self.page_size().min(budget + 1 - records.len());
            let limit = u32::try_from(asked).unwrap_or(u32::MAX);
            let page = self.storage.repriceable(&request.filter, after.as_ref(), limit).await?;
            let full = page.len() == asked;
            after = page.last().map(RepricePosition::of);
            records.extend(page);
            if !full {
                break;
            }
        }
        if records.len() > budget {
            records.truncate(budget);
            report.next = records.last().map(RepricePosition::of);
        }
        Ok(records)
    }

    /// Makes corrections page by page, or pretends to, and notes in the report what became of them.
    async fn correct(
        &self,
        changes: &[(&UsageRecord, UsageRecord)],
        now: Timestamp,
        report: &mut RepriceReport,
    ) -> Result<()> {
        for page in changes.chunks(self.page_size()) {
            self.correct_page(page, now, report).await?;
        }
        Ok(())
    }

    async fn correct_page(
        &self,
        changes: &[(&UsageRecord, UsageRecord)],
        now: Timestamp,
        report: &mut RepriceReport,
    ) -> Result<()> {
        let outcomes = if report.applied {
            let reprice = |(before, after): &(&UsageRecord, UsageRecord)| Reprice {
                key: before.key(),
                expected: before.figures(),
                new: after.figures(),
            };
            let reprices: Vec<_> = changes.iter().map(reprice).collect();
            self.storage.reprice_usage(&reprices, now).await?
        } else {
            vec![RepriceOutcome::Applied; changes.len()]
        };
        for ((before, after), outcome) in changes.iter().zip(outcomes) {
            match outcome {
                RepriceOutcome::Applied => report.add_change(before, after)?,
                RepriceOutcome::Stale | RepriceOutcome::Gone => report.stale += 1,
                RepriceOutcome::Overflow => report.refused += 1,
            }
        }
        Ok(())
    }

    /// What was called, where that may be a profile only AWS can explain: it may not have been able to at the time.
    /// Nobody is asked about what has a price set by the operator.
    fn call_to_resolve<'a>(&self, record: &'a UsageRecord) -> Option<&'a str> {
        let called = record.pricing.model_id.as_str();
        let own_price = self
            .catalog
            .get(&record.model_label)
            .is_some_and(|entry| entry.price_override.is_some() && entry.bedrock_model_id == called);
        (called.starts_with("arn:") && !own_price).then_some(called)
    }

    /// What the prices in force make of a record.
    fn proposal(&self, record: &UsageRecord, profiles: &ResolvedProfiles, now: Timestamp) -> Proposal {
        let called = record.pricing.model_id.as_str();
        let (model_id, profile_region) = match self.call_to_resolve(record) {
            None => (called, None),
            Some(called) => {
                let priced = profiles.priced(called);
                (priced.model_id, priced.profile_region)
            }
        };
        let quote_at = |at| {
            self.pricer.quote(
                &PriceQuery {
                    model_id,
                    region: record.calling_region.as_deref().or(profile_region),
                    tier: record.service_tier,
                    latency: record.latency,
                    tokens: record.tokens,
                    cache_ttl_assumed: record.cache_ttl_assumed,
                    at,
                },
                self.catalog.get(&record.model_label),
            )
        };
        // What was in force when it was submitted, as far as it is known; else what is in force now.
        let then = quote_at(record.recorded_at);
        let quote = if then.status == PricingStatus::Unpriced { quote_at(now) } else { then };
        // An estimate whose price has disappeared since is still better than nothing; and what an unknown model is
        // charged instead is no price.
        if quote.status == PricingStatus::Unpriced {
            return Proposal::Unchanged;
        }
        if quote.cost > MAX_COST_PER_SUBMISSION {
            return Proposal::TooDear;
        }
        let new = Figures {
            cost: quote.cost,
            server_cost: quote.server_cost(&record.tokens),
            pricing: RecordPricing {
                status: quote.status,
                source: quote.source,
                version: quote.version.map(|version| version.to_string()),
                model_id: model_id.to_owned(),
            },
        };
        let corrected = record.with_figures(&new);
        let same = (corrected.cost, corrected.server_cost, corrected.pricing.status)
            == (record.cost, record.server_cost, record.pricing.status);
        if same {
            return Proposal::Unchanged;
        }
        Proposal::Change(Box::new(corrected))
    }
}
