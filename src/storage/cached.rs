//! Reading through a cache of a few seconds, for stores that several instances share.
//!
//! Configuration and token checks may be [`CacheLifetimes::configuration`] old, totals and fallback states
//! [`CacheLifetimes::totals`]; that is how long a change by another instance may stay unseen here. What this instance
//! changes itself it sees at once: each entry carries the generation of its key at the moment its read *began*, every
//! write advances the generation, and an entry of an earlier generation is not used. So a read that was under way
//! while a write committed cannot bring back what was before.
//!
//! Everything else goes straight through.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moka::future::Cache;
use uuid::Uuid;

use super::contract::*;
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditPosition};
use crate::domain::calendar::Day;
use crate::domain::credential::ClientCredential;
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, RequestId, Scope};
use crate::domain::profile::{InferenceProfile, ProfileArn};
use crate::domain::selection::FallbackState;
use crate::domain::tenant::{App, Org};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageRecord};

/// How old what is answered may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLifetimes {
    /// Tenants, and what decides about tokens.
    pub configuration: Duration,
    /// Totals and fallback states.
    pub totals: Duration,
}

impl Default for CacheLifetimes {
    /// What the service promises: a second for totals, and five for configuration, of which one is left for what is
    /// kept of it elsewhere (the limits that organizations set).
    fn default() -> Self {
        Self { configuration: Duration::from_secs(4), totals: Duration::from_secs(1) }
    }
}

/// Tenants and selections kept at most, some kilobytes each.
const MOST_TENANTS: u64 = 10_000;
/// Token checks kept at most, some hundred bytes each.
const MOST_TOKENS: u64 = 100_000;

/// A store with a cache in front.
#[derive(Debug)]
pub struct CachedStorage {
    inner: Arc<dyn Storage>,
    tenants: Memo<Scope, Option<Tenant>>,
    tokens: Memo<(ClientId, Uuid, Uuid), TokenState>,
    selections: Memo<(Scope, Day), SelectionState>,
}

impl CachedStorage {
    /// Puts a cache in front of a store.
    #[must_use]
    pub fn over(inner: Arc<dyn Storage>, lifetimes: CacheLifetimes) -> Self {
        Self {
            inner,
            tenants: Memo::new(MOST_TENANTS, lifetimes.configuration),
            tokens: Memo::new(MOST_TOKENS, lifetimes.configuration),
            selections: Memo::new(MOST_TENANTS, lifetimes.totals),
        }
    }

    /// A tenant, its clients or its fallback states changed, or may have: a write that failed may have reached the
    /// store all the same.
    fn tenant_changed(&self, org_id: OrgId) {
        self.tenants.advance(&Dependency::Org(org_id));
        self.tokens.advance(&Dependency::Org(org_id));
        self.selections.advance(&Dependency::Org(org_id));
    }

    /// Totals changed, or may have.
    fn totals_changed(&self, org_ids: impl Iterator<Item = OrgId>) {
        for org_id in org_ids {
            self.selections.advance(&Dependency::Org(org_id));
        }
    }
}

/// What an entry depends on.
#[derive(Hash)]
enum Dependency {
    Org(OrgId),
    Revocable(Uuid),
}

/// Values by key, each as old as the cache's lifetime at most.
#[derive(Debug)]
struct Memo<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    entries: Cache<K, (u64, V)>,
    /// By hash of what a value depends on. Two that share a slot only cost each other a read.
    generations: Vec<AtomicU64>,
    hasher: RandomState,
}

impl<K, V> Memo<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    const SLOTS: u64 = 1024;

    fn new(most: u64, lifetime: Duration) -> Self {
        Self {
            entries: Cache::builder().max_capacity(most).time_to_live(lifetime).build(),
            generations: (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    fn slot(&self, dependency: &Dependency) -> Option<&AtomicU64> {
        let slot = self.hasher.hash_one(dependency) % Self::SLOTS;
        usize::try_from(slot).ok().and_then(|slot| self.generations.get(slot))
    }

    fn advance(&self, dependency: &Dependency) {
        if let Some(slot) = self.slot(dependency) {
            slot.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Generations only grow, so their sum changes exactly when one of them does.
    fn generation(&self, dependencies: &[Dependency]) -> u64 {
        dependencies
            .iter()
            .filter_map(|dependency| self.slot(dependency))
            .fold(0, |sum, slot| sum.wrapping_add(slot.load(Ordering::SeqCst)))
    }

    async fn get(&self, key: K, dependencies: &[Dependency], read: impl Future<Output = Result<V>>) -> Result<V> {
        let generation = self.generation(dependencies);
        if let Some((of, value)) = self.entries.get(&key).await
            && of == generation
        {
            return Ok(value);
        }
        let value = read.await?;
        self.entries.insert(key, (generation, value.clone())).await;
        Ok(value)
    }
}

#[async_trait]
impl Tenants for CachedStorage {
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
        let result = self.inner.create_org(org, client).await;
        self.tenant_changed(org.org_id);
        result
    }

    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
        let result = self.inner.update_org(org, expected_version).await;
        self.tenant_changed(org.org_id);
        result
    }

    async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
        let result = self.inner.delete_org(org_id).await;
        self.tenant_changed(org_id);
        result
    }

    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        self.inner.list_orgs(after, limit).await
    }

    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
        let result = self.inner.create_app(app, client).await;
        self.tenant_changed(app.org_id);
        result
    }

    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
        let result = self.inner.update_app(app, expected_version).await;
        self.tenant_changed(app.org_id);
        result
    }

    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        let result = self.inner.delete_app(org_id, app_id).await;
        self.tenant_changed(org_id);
        result
    }

    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
        self.inner.list_apps(org_id, after, limit).await
    }

    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
        self.tenants.get(scope.clone(), &[Dependency::Org(scope.org_id)], self.inner.tenant(scope)).await
    }
}

#[async_trait]
impl Profiles for CachedStorage {
    async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation> {
        let result = self.inner.create_profile(profile, max).await;
        self.tenants.advance(&Dependency::Org(profile.org_id));
        result
    }

    async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>> {
        self.inner.profiles(org_id, app_id).await
    }

    async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool> {
        let result = self.inner.delete_profile(org_id, app_id, label).await;
        self.tenants.advance(&Dependency::Org(org_id));
        result
    }

    async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>> {
        self.inner.common_profiles(org_id).await
    }
}

#[async_trait]
impl Credentials for CachedStorage {
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
        self.inner.credential(client_id).await
    }

    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
        let result = self.inner.replace_credential(client, expected_version).await;
        self.tokens.advance(&Dependency::Org(client.credential.client_id.0.org_id));
        result
    }

    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
        let result = self.inner.set_token_epoch(client_id, epoch).await;
        self.tokens.advance(&Dependency::Org(client_id.0.org_id));
        result
    }

    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret> {
        self.inner.take_secret(client_id, token_hash, now).await
    }

    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
        let result = self.inner.revoke(revocation, expires_at).await;
        let (Revocation::Token(id) | Revocation::Session(id)) = revocation;
        self.tokens.advance(&Dependency::Revocable(id));
        result
    }

    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
        let dependencies =
            [Dependency::Org(client_id.0.org_id), Dependency::Revocable(session), Dependency::Revocable(token)];
        let read = self.inner.token_state(client_id, session, token);
        self.tokens.get((client_id.clone(), session, token), &dependencies, read).await
    }
}

#[async_trait]
impl UsageLedger for CachedStorage {
    fn ingest_limits(&self) -> IngestLimits {
        self.inner.ingest_limits()
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        let result = self.inner.record_usage(records).await;
        if !self.inner.consolidates() {
            self.totals_changed(records.iter().map(|record| record.org_id));
        }
        result
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
        self.inner.daily_totals(org_id, breakdown, days, after, limit).await
    }
}

#[async_trait]
impl Consolidation for CachedStorage {
    fn consolidates(&self) -> bool {
        self.inner.consolidates()
    }

    async fn consolidate(&self, org_id: OrgId, day: Day) -> Result<bool> {
        let result = self.inner.consolidate(org_id, day).await;
        // Also where nothing had to be added up: then another instance did it, which this cache may not have seen.
        self.selections.advance(&Dependency::Org(org_id));
        result
    }

    async fn unconsolidated(&self, limit: u32) -> Result<Vec<(OrgId, Day)>> {
        self.inner.unconsolidated(limit).await
    }

    async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>> {
        self.inner.consolidation_lease().await
    }

    async fn lease_consolidation(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool> {
        self.inner.lease_consolidation(lease, now).await
    }
}

#[async_trait]
impl Repricing for CachedStorage {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        self.inner.repriceable(filter, after, limit).await
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        let result = self.inner.reprice_usage(reprices, repriced_at).await;
        self.totals_changed(reprices.iter().map(|reprice| reprice.key.org_id));
        result
    }
}

#[async_trait]
impl Fallbacks for CachedStorage {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
        let read = self.inner.selection_state(scope, day);
        self.selections.get((scope.clone(), day), &[Dependency::Org(scope.org_id)], read).await
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
        let result = self.inner.swap_fallback(scope, day, next, expires_at).await;
        self.selections.advance(&Dependency::Org(scope.org_id));
        result
    }

    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()> {
        let result = self.inner.clear_fallback(scope, day).await;
        self.selections.advance(&Dependency::Org(scope.org_id));
        result
    }
}

#[async_trait]
impl Prices for CachedStorage {
    async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
        self.inner.prices_fetched_at().await
    }

    async fn prices(&self) -> Result<Option<StoredPrices>> {
        self.inner.prices().await
    }

    async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
        self.inner.put_prices(prices, replaces).await
    }
}

#[async_trait]
impl Moving for CachedStorage {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        let result = self.inner.import_totals(org_id, totals).await;
        self.selections.advance(&Dependency::Org(org_id));
        result
    }
}

#[async_trait]
impl AuditTrail for CachedStorage {
    async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
        self.inner.append_audit(event).await
    }

    async fn settle_audit(
        &self,
        position: AuditPosition,
        org_id: Option<OrgId>,
        outcome: AuditOutcome,
    ) -> Result<bool> {
        self.inner.settle_audit(position, org_id, outcome).await
    }

    async fn audit_events(
        &self,
        org_id: Option<OrgId>,
        before: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>> {
        self.inner.audit_events(org_id, before, limit).await
    }
}

#[async_trait]
impl Maintenance for CachedStorage {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
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

#[cfg(test)]
#[path = "cached_tests.rs"]
mod tests;
