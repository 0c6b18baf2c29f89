//! A real store that fails, waits or counts where a test says so.

mod audit;
mod credentials;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::ids::{AppId, ModelLabel, OrgId, RequestId, Scope};
use bedrock_cost_keeper::domain::profile::{InferenceProfile, ProfileArn};
use bedrock_cost_keeper::domain::selection::FallbackState;
use bedrock_cost_keeper::domain::tenant::{App, Org};
use bedrock_cost_keeper::domain::usage::{LabelTotals, SpendTotals, UsageRecord};
use bedrock_cost_keeper::storage::{
    Breakdown, Consolidation, ConsolidationLease, DailyTotal, DailyTotalKey, FallbackSwap, Fallbacks, IngestLimits,
    Maintenance, Moving, NewClient, Prices, ProfileCreation, RecordOutcome, Reprice, RepriceFilter, RepriceOutcome,
    RepricePosition, Repricing, Retention, SchemaStatus, SelectionState, Storage, StorageError, StoredPrices, Tenant,
    Tenants, TotalImport, UsageLedger,
};
use jiff::Timestamp;
use tokio::sync::watch;

use self::audit::AuditFaults;
use super::pass_on::pass_on;

type Result<T> = std::result::Result<T, StorageError>;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store is away; nothing happens.
    Unavailable,
    /// The store refuses for a reason of its own; nothing happens.
    Backend,
    /// What was asked for happens, but the answer is lost.
    AnswerLost,
    /// There is a mistake in it.
    Panic,
}

/// What a failing store says.
const FAULT_TEXT: &str = "cannot reach postgres://keeper:hunter2@db.internal";
/// What no answer may repeat of it.
pub(crate) const INTERNALS: [&str; 3] = ["postgres", "hunter2", "db.internal"];

impl Fault {
    fn error(self) -> StorageError {
        match self {
            Self::Unavailable | Self::AnswerLost => StorageError::Unavailable(FAULT_TEXT.to_owned()),
            Self::Backend => StorageError::Backend(FAULT_TEXT.to_owned()),
            Self::Panic => panic!("{FAULT_TEXT}"),
        }
    }
}

/// Longest a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn Storage>,
    /// Whether totals are always up to date, whatever the store inside needs for that.
    settled: bool,
    record_fault: Mutex<Option<Fault>>,
    next_record_fault: Mutex<Option<Fault>>,
    read_fault: Mutex<Option<Fault>>,
    gate_open: watch::Sender<bool>,
    record_calls: watch::Sender<usize>,
    record_ends: watch::Sender<usize>,
    pages: AtomicUsize,
    largest_page: AtomicUsize,
    credential_calls: Mutex<Vec<&'static str>>,
    audit: AuditFaults,
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn Storage>) -> Self {
        Self {
            inner,
            settled: false,
            record_fault: Mutex::default(),
            next_record_fault: Mutex::default(),
            read_fault: Mutex::default(),
            gate_open: watch::Sender::new(true),
            record_calls: watch::Sender::new(0),
            record_ends: watch::Sender::new(0),
            pages: AtomicUsize::new(0),
            largest_page: AtomicUsize::new(0),
            credential_calls: Mutex::default(),
            audit: AuditFaults::default(),
        }
    }

    /// Over an instance whose totals are always up to date.
    pub(crate) fn over_settled(inner: Arc<dyn Storage>) -> Self {
        Self { settled: true, ..Self::over(inner) }
    }

    /// How `record_usage`, `reprice_usage` and `import_totals` fail from now on.
    pub(crate) fn fail_records(&self, fault: impl Into<Option<Fault>>) {
        *self.record_fault.lock().unwrap() = fault.into();
    }

    /// How the next `record_usage`, `reprice_usage` or `import_totals` fails; those after it do not.
    pub(crate) fn fail_next_record(&self, fault: Fault) {
        *self.next_record_fault.lock().unwrap() = Some(fault);
    }

    /// How reading tenants, and a ping, fail from now on.
    pub(crate) fn fail_reads(&self, fault: impl Into<Option<Fault>>) {
        *self.read_fault.lock().unwrap() = fault.into();
    }

    /// `record_usage` waits, before it does anything, until [`open_gate`](Self::open_gate).
    pub(crate) fn close_gate(&self) {
        self.gate_open.send_replace(false);
    }

    pub(crate) fn open_gate(&self) {
        self.gate_open.send_replace(true);
    }

    /// How often `record_usage` was called.
    pub(crate) fn record_calls(&self) -> usize {
        *self.record_calls.borrow()
    }

    /// Returns once `record_usage` was called this often.
    pub(crate) async fn record_called(&self, times: usize) {
        reached(&self.record_calls, times).await;
    }

    /// Returns once this many calls of `record_usage` have come to their end. Stores may commit several calls at
    /// once: who repeats a submission whose answer was not awaited waits for this first.
    pub(crate) async fn record_ended(&self, times: usize) {
        reached(&self.record_ends, times).await;
    }

    /// How often `daily_totals` was called.
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    /// Most totals that were asked for, or handed over, in one call.
    pub(crate) fn largest_page(&self) -> usize {
        self.largest_page.load(Ordering::Relaxed)
    }

    fn take_record_fault(&self) -> Option<Fault> {
        self.next_record_fault.lock().unwrap().take().or(*self.record_fault.lock().unwrap())
    }

    fn read(&self) -> Result<()> {
        // Copied out first: a panic must not poison the lock.
        let fault = *self.read_fault.lock().unwrap();
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }
}

/// Returns once a counter has come this far.
async fn reached(counter: &watch::Sender<usize>, times: usize) {
    let mut counter = counter.subscribe();
    tokio::time::timeout(PATIENCE, counter.wait_for(|count| *count >= times)).await.expect("it gets there").unwrap();
}

#[async_trait]
impl UsageLedger for FaultyStore {
    fn ingest_limits(&self) -> IngestLimits {
        self.inner.ingest_limits()
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        self.record_calls.send_modify(|calls| *calls += 1);
        self.gate_open.subscribe().wait_for(|open| *open).await.unwrap();
        let outcomes = match self.take_record_fault() {
            None => self.inner.record_usage(records).await,
            Some(Fault::AnswerLost) => {
                self.inner.record_usage(records).await.and_then(|_| Err(Fault::AnswerLost.error()))
            }
            Some(fault) => Err(fault.error()),
        };
        self.record_ends.send_modify(|ends| *ends += 1);
        outcomes
    }

    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>> {
        self.inner.usage(org_id, app_id, request_id).await
    }

    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
        self.inner.totals(scope, day).await
    }

    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals> {
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
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.largest_page.fetch_max(limit as usize, Ordering::Relaxed);
        self.inner.daily_totals(org_id, breakdown, days, after, limit).await
    }
}

#[async_trait]
impl Consolidation for FaultyStore {
    fn consolidates(&self) -> bool {
        !self.settled && self.inner.consolidates()
    }

    async fn consolidate(&self, org_id: OrgId, day: Day) -> Result<bool> {
        self.read()?;
        self.inner.consolidate(org_id, day).await
    }

    async fn unconsolidated(&self, limit: u32) -> Result<Vec<(OrgId, Day)>> {
        self.read()?;
        self.inner.unconsolidated(limit).await
    }

    async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>> {
        self.read()?;
        self.inner.consolidation_lease().await
    }

    async fn lease_consolidation(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool> {
        self.read()?;
        self.inner.lease_consolidation(lease, now).await
    }
}

#[async_trait]
impl Moving for FaultyStore {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        self.largest_page.fetch_max(totals.len(), Ordering::Relaxed);
        match self.take_record_fault() {
            None => self.inner.import_totals(org_id, totals).await,
            Some(Fault::AnswerLost) => {
                self.inner.import_totals(org_id, totals).await?;
                Err(Fault::AnswerLost.error())
            }
            Some(fault) => Err(fault.error()),
        }
    }
}

#[async_trait]
impl Repricing for FaultyStore {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        self.inner.repriceable(filter, after, limit).await
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        match self.take_record_fault() {
            None => self.inner.reprice_usage(reprices, repriced_at).await,
            Some(Fault::AnswerLost) => {
                self.inner.reprice_usage(reprices, repriced_at).await?;
                Err(Fault::AnswerLost.error())
            }
            Some(fault) => Err(fault.error()),
        }
    }
}

#[async_trait]
impl Tenants for FaultyStore {
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
        self.inner.create_org(org, client).await
    }

    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
        self.inner.update_org(org, expected_version).await
    }

    async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
        self.inner.delete_org(org_id).await
    }

    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        self.inner.list_orgs(after, limit).await
    }

    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
        self.inner.create_app(app, client).await
    }

    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
        self.inner.update_app(app, expected_version).await
    }

    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        self.inner.delete_app(org_id, app_id).await
    }

    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
        self.inner.list_apps(org_id, after, limit).await
    }

    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
        self.read()?;
        self.inner.tenant(scope).await
    }
}

pass_on!(FaultyStore => Profiles);

#[async_trait]
impl Fallbacks for FaultyStore {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
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

#[async_trait]
impl Prices for FaultyStore {
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
        self.read()?;
        self.inner.prices_fetched_at().await
    }

    async fn prices(&self) -> Result<Option<StoredPrices>> {
        self.read()?;
        self.inner.prices().await
    }

    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
        self.read()?;
        self.inner.put_prices(prices, replaces).await
    }
}

#[async_trait]
impl Maintenance for FaultyStore {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn ping(&self) -> Result<()> {
        self.read()?;
        self.inner.ping().await
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        self.read()?;
        self.inner.schema_status().await
    }

    async fn migrate(&self) -> Result<u32> {
        self.inner.migrate().await
    }

    async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64> {
        self.inner.purge(retention, batch).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
