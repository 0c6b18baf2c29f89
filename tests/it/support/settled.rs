//! A store whose totals are always up to date, so that what the contract says of totals can be asserted word for word on
//! a store that consolidates them at a distance.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use bedrock_cost_keeper::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::credential::ClientCredential;
use bedrock_cost_keeper::domain::ids::{AppId, ClientId, ModelLabel, OrgId, RequestId, Scope};
use bedrock_cost_keeper::domain::profile::{InferenceProfile, ProfileArn};
use bedrock_cost_keeper::domain::selection::FallbackState;
use bedrock_cost_keeper::domain::tenant::{App, Org};
use bedrock_cost_keeper::domain::usage::{LabelTotals, SpendTotals, UsageRecord};
use bedrock_cost_keeper::storage::{
    Breakdown, ConsolidationLease, DailyTotal, DailyTotalKey, FallbackSwap, Fallbacks, IngestLimits, Moving, NewClient,
    ProfileCreation, RecordOutcome, Reprice, RepriceFilter, RepriceOutcome, RepricePosition, Repricing, Retention,
    Revocation, SchemaStatus, SelectionState, Storage, StorageError, StoredPrices, TakenSecret, Tenant, TokenState,
    TotalImport, UsageLedger,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::pass_on::pass_on;

type Result<T> = std::result::Result<T, StorageError>;

/// What every instance on the same data shares.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Days of organizations that changed and were not consolidated since.
    days: std::sync::Mutex<BTreeSet<(OrgId, Day)>>,
    /// Held while days are consolidated: whoever finds nothing to do must not read before that is done.
    settling: tokio::sync::Mutex<()>,
}

/// The decorator. On a store that does not consolidate it only passes on.
#[derive(Debug)]
pub(crate) struct Settled {
    inner: Arc<dyn Storage>,
    touched: Arc<Touched>,
}

/// Marks days when it is dropped: a call that is dropped half way may have changed them too.
struct Marks<'a> {
    touched: &'a Touched,
    days: Vec<(OrgId, Day)>,
}

impl Drop for Marks<'_> {
    fn drop(&mut self) {
        self.touched.days.lock().unwrap().extend(self.days.drain(..));
    }
}

impl Settled {
    /// `touched` is that of every other instance on the same data.
    pub(crate) fn over(inner: Arc<dyn Storage>, touched: Arc<Touched>) -> Self {
        Self { inner, touched }
    }

    fn marks(&self, days: impl Iterator<Item = (OrgId, Day)>) -> Marks<'_> {
        let days = if self.inner.consolidates() { days.collect() } else { Vec::new() };
        Marks { touched: &self.touched, days }
    }

    /// Brings every total of an organization up to date.
    async fn settle(&self, org_id: OrgId) -> Result<()> {
        if !self.inner.consolidates() {
            return Ok(());
        }
        let _settling = self.touched.settling.lock().await;
        let days: Vec<_> =
            self.touched.days.lock().unwrap().iter().filter(|(org, _)| *org == org_id).copied().collect();
        for (org_id, day) in days {
            // Taken out before: what comes in the meantime is for the next one.
            self.touched.days.lock().unwrap().remove(&(org_id, day));
            let mut marks = self.marks(std::iter::once((org_id, day)));
            self.inner.consolidate(org_id, day).await?;
            marks.days.clear();
        }
        Ok(())
    }

    /// The outcomes with the totals they would have where totals change with the usage.
    async fn with_totals(&self, records: &[UsageRecord], outcomes: &mut [RecordOutcome]) -> Result<()> {
        let mut read = BTreeMap::new();
        for (record, outcome) in records.iter().zip(outcomes) {
            let (record, totals) = match outcome {
                RecordOutcome::Accepted(totals) => (record, totals),
                RecordOutcome::Duplicate(first, totals) => (&**first, totals),
                RecordOutcome::Conflict | RecordOutcome::Overflow => continue,
            };
            let key = (record.org_id, record.app_id.clone(), record.model_label.clone(), record.day);
            *totals = match read.get(&key) {
                Some(known) => *known,
                None => self.label_totals(record.org_id, &record.app_id, &record.model_label, record.day).await?,
            };
            read.insert(key, *totals);
        }
        Ok(())
    }
}

pass_on!(Settled => Tenants Profiles Credentials Prices Consolidation AuditTrail Maintenance);

#[async_trait]
impl UsageLedger for Settled {
    fn ingest_limits(&self) -> IngestLimits {
        self.inner.ingest_limits()
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        let marks = self.marks(records.iter().map(|record| (record.org_id, record.day)));
        let mut outcomes = self.inner.record_usage(records).await?;
        drop(marks);
        if self.inner.consolidates() {
            self.with_totals(records, &mut outcomes).await?;
        }
        Ok(outcomes)
    }

    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>> {
        self.inner.usage(org_id, app_id, request_id).await
    }

    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
        self.settle(scope.org_id).await?;
        self.inner.totals(scope, day).await
    }

    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals> {
        self.settle(org_id).await?;
        self.inner.label_totals(org_id, app_id, label, day).await
    }

    async fn daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>> {
        self.settle(org_id).await?;
        self.inner.daily_totals(org_id, breakdown, days, after, limit).await
    }
}

#[async_trait]
impl Repricing for Settled {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        self.inner.repriceable(filter, after, limit).await
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        let outcomes = self.inner.reprice_usage(reprices, repriced_at).await?;
        // The days are the records', which only the store knows; it says which it has not consolidated itself.
        if self.inner.consolidates() {
            drop(self.marks(self.inner.unconsolidated(1_000).await?.into_iter()));
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl Moving for Settled {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        let _marks = self.marks(totals.iter().map(|total| (org_id, total.day)));
        self.inner.import_totals(org_id, totals).await
    }
}

#[async_trait]
impl Fallbacks for Settled {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
        self.settle(scope.org_id).await?;
        self.inner.selection_state(scope, day).await
    }

    async fn fallback(&self, scope: &Scope, day: Day) -> Result<Option<FallbackState>> {
        self.inner.fallback(scope, day).await
    }

    async fn swap_fallback(
        &self,
        scope: &Scope,
        day: Day,
        next: &FallbackState,
        expires_at: Timestamp,
    ) -> Result<FallbackSwap> {
        self.inner.swap_fallback(scope, day, next, expires_at).await
    }

    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()> {
        self.inner.clear_fallback(scope, day).await
    }
}
