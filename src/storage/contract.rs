//! The storage contract: small traits by aggregate, composed into one object-safe [`Storage`].
//!
//! Rules for every method:
//! * It is one atomic step: it happens whole or not at all, also when the process is killed in the middle.
//! * Once it has returned `Ok`, what it wrote survives a crash and is seen by every later call on this instance.
//! * It never reads a clock: instants are arguments.
//! * On [`StorageError::Unavailable`] nothing was changed, or repeating the same call is safe.
//! * Timestamps keep milliseconds. Amounts and tokens are exact.

mod audit;
mod consolidation;
mod moving;
mod prices;
mod profiles;
mod repricing;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::error::StorageError;
use crate::domain::calendar::Day;
use crate::domain::credential::{ClientCredential, SealedSecret};
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, RequestId, Scope};
use crate::domain::profile::InferenceProfile;
use crate::domain::selection::FallbackState;
use crate::domain::tenant::{App, Org};
use crate::domain::usage::{Counters, LabelTotals, SpendTotals, UsageRecord};

pub use audit::*;
pub use consolidation::*;
pub use moving::*;
pub use prices::*;
pub use profiles::*;
pub use repricing::*;

/// Result of a storage method.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Everything the service keeps.
pub trait Storage:
    Tenants
    + Profiles
    + Credentials
    + UsageLedger
    + Consolidation
    + Repricing
    + Fallbacks
    + Prices
    + Moving
    + AuditTrail
    + Maintenance
    + fmt::Debug
{
}

impl<T> Storage for T where
    T: Tenants
        + Profiles
        + Credentials
        + UsageLedger
        + Consolidation
        + Repricing
        + Fallbacks
        + Prices
        + Moving
        + AuditTrail
        + Maintenance
        + fmt::Debug
{
}

/// The credential a new client starts with, and its secret sealed for one-time retrieval unless it is delivered
/// inline. Stored in the same step as the tenant it belongs to.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// The credential.
    pub credential: ClientCredential,
    /// The sealed secret.
    pub sealed: Option<SealedSecret>,
}

/// An organization and, where asked for, one of its applications, read together.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The organization.
    pub org: Org,
    /// The application; `None` where none was asked for or it is not registered.
    pub app: Option<App>,
    /// Inference profiles of that application in ascending order of label; none for an organization.
    pub profiles: Vec<InferenceProfile>,
}

impl Tenant {
    /// An organization alone.
    #[must_use]
    pub fn of_org(org: Org) -> Self {
        Self { org, app: None, profiles: Vec::new() }
    }

    /// An application whose profiles do not matter.
    #[must_use]
    pub fn of_app(org: Org, app: App) -> Self {
        Self { org, app: Some(app), profiles: Vec::new() }
    }
}

/// Organizations and applications.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Registers an organization with its client. [`StorageError::AlreadyExists`] where it is registered; then
    /// nothing changes, the credential included.
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()>;

    /// Replaces an organization's configuration where its stored version is `expected_version`, else
    /// [`StorageError::Conflict`] (also where it is gone). Credentials stay.
    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()>;

    /// Ends an organization with its applications, their profiles, clients, sealed secrets and fallback states; `false` where there
    /// was none. Usage, totals and dedup keys stay until their retention ends.
    async fn delete_org(&self, org_id: OrgId) -> Result<bool>;

    /// At most `limit` organizations after `after` in ascending order of id.
    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>>;

    /// Registers an application with its client. [`StorageError::AlreadyExists`] where it is registered,
    /// [`StorageError::Conflict`] where its organization is not.
    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()>;

    /// Replaces an application's configuration where its stored version is `expected_version`, else
    /// [`StorageError::Conflict`] (also where it is gone). Credentials stay.
    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()>;

    /// Ends an application with its profiles, client, sealed secrets and fallback states; `false` where there was none. Usage,
    /// totals and dedup keys stay.
    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool>;

    /// At most `limit` applications of an organization after `after`, in ascending byte order of id.
    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>>;

    /// An organization and, for a scope with an application, that application; `None` where the organization is not
    /// registered.
    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>>;
}

/// What a one-time retrieval found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenSecret {
    /// The first use: the sealed bytes, which the store no longer has.
    Taken(Vec<u8>),
    /// The token is right but was used before.
    AlreadyUsed,
    /// No such token for that client, or it expired.
    Unknown,
}

/// What was revoked: a single access token, or a session with every access token issued from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// An access token, by its `jti`.
    Token(Uuid),
    /// A session, by its `sid`.
    Session(Uuid),
}

/// What decides whether a well-signed, unexpired token is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenState {
    /// The client's current token epoch; `None` where the client is gone.
    pub token_epoch: Option<Uuid>,
    /// Whether the token or its session was revoked.
    pub revoked: bool,
}

/// Client credentials, one-time secrets and revocations.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The credential of a client.
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>>;

    /// Replaces a credential (and stores the newly sealed secret with it) where its stored version is
    /// `expected_version`, else [`StorageError::Conflict`] (also where the client is gone).
    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()>;

    /// Gives a client a new token epoch and so ends every token issued to it; `false` where the client is gone. The
    /// version grows by one.
    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool>;

    /// Takes a sealed secret. Of any number of concurrent calls exactly one gets [`TakenSecret::Taken`]. A call for
    /// another client, or at or after `expires_at`, gets [`TakenSecret::Unknown`] and uses nothing up.
    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret>;

    /// Revokes until `expires_at`, when the revoked would have expired anyway. Repeating it changes nothing.
    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()>;

    /// Everything needed to accept or refuse a token, in one read.
    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState>;
}

/// What became of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// Committed now. The totals include it, unless the store [consolidates](Consolidation).
    Accepted(LabelTotals),
    /// The same submission was committed before; nothing changed. The first record, and the totals of its key now.
    Duplicate(Box<UsageRecord>, LabelTotals),
    /// Its id belongs to a submission with another fingerprint; nothing changed.
    Conflict,
    /// A counter would leave its range; nothing changed.
    Overflow,
}

/// How a store likes its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestLimits {
    /// Most records of one [`UsageLedger::record_usage`] call. At least 100: a caller's batch is not split.
    pub max_batch: usize,
    /// How many such calls are worth having under way at once from one instance.
    pub concurrency: usize,
}

/// Totals of one (day, application, label), as a range query yields them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyTotal {
    /// The local day.
    pub day: Day,
    /// The application; `None` for the organization's total over all applications.
    pub app_id: Option<AppId>,
    /// The label.
    pub model_label: ModelLabel,
    /// The totals.
    pub counters: Counters,
    /// When they last changed.
    pub updated_at: Timestamp,
}

/// Which totals a range query yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakdown<'a> {
    /// One application's.
    App(&'a AppId),
    /// The organization's totals, not broken down by application.
    Org,
    /// Every application's.
    EveryApp,
}

/// Where the next page of a range query starts: after this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyTotalKey {
    /// The day.
    pub day: Day,
    /// The application; `None` in a [`Breakdown::Org`] query.
    pub app_id: Option<AppId>,
    /// The label.
    pub model_label: ModelLabel,
}

/// Usage records, dedup keys and the totals they add up to.
///
/// On a store that [consolidates](Consolidation), every total read here and in [`Fallbacks::selection_state`] is that
/// of the last consolidation; its promises about totals hold from there on.
#[async_trait]
pub trait UsageLedger: Send + Sync {
    /// How to batch for this store.
    fn ingest_limits(&self) -> IngestLimits;

    /// Records submissions, exactly once each. Answers one outcome per record, in order.
    ///
    /// * The dedup key (org, app, `request_id`) and every counter the record adds to (application and organization,
    ///   day and month) change in one atomic step: a crash leaves both or none.
    /// * The first submission of a key counts. A repeat with the same fingerprint is a duplicate, also inside one
    ///   call; with another fingerprint it is a conflict. Concurrent calls, from any instance, agree.
    /// * One refused record does not affect the others. The good ones commit together, as far as the store has steps
    ///   that large.
    /// * `Err` means that nothing of the call was committed, or that repeating it reports what was as duplicates.
    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>>;

    /// A recorded submission, as it was committed.
    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>>;

    /// Day and month totals of every label with usage in the month of `day`, for one scope, consistent with each
    /// other.
    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>>;

    /// Application and organization totals of one label.
    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals>;

    /// At most `limit` daily totals of an organization in a range of days, ordered by (day, application, label),
    /// strictly after `after`.
    async fn daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>>;
}

/// What a compare-and-swap of the fallback state came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FallbackSwap {
    /// The new state is in force.
    Stored,
    /// Somebody else changed it first; this is the state in force, `None` where it was cleared.
    Lost(Option<FallbackState>),
}

/// Everything one model selection reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionState {
    /// Totals of every label with usage in the month.
    pub totals: BTreeMap<ModelLabel, SpendTotals>,
    /// When any of them last changed; `None` where there are none.
    pub updated_at: Option<Timestamp>,
    /// The scope's fallback state of the day.
    pub fallback: Option<FallbackState>,
}

/// Sticky fallback states, one per scope and day.
#[async_trait]
pub trait Fallbacks: Send + Sync {
    /// Totals and fallback state of a scope on a day, read together.
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState>;

    /// The fallback state of a scope on a day.
    async fn fallback(&self, scope: &Scope, day: Day) -> Result<Option<FallbackState>>;

    /// Stores `next` where the stored version is `next.version - 1` (version 1: where there is no state), else
    /// answers the state in force. Of concurrent calls with the same version exactly one stores. The state may be
    /// dropped from `expires_at` on.
    async fn swap_fallback(
        &self,
        scope: &Scope,
        day: Day,
        next: &FallbackState,
        expires_at: Timestamp,
    ) -> Result<FallbackSwap>;

    /// Clears the state of a scope on a day. Clearing nothing is fine.
    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()>;
}

/// What may be forgotten: everything strictly before these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Now: revocations, sealed secrets and fallback states expired by then go.
    pub now: Timestamp,
    /// Usage records and their dedup keys recorded before this instant go.
    pub usage_before: Timestamp,
    /// Daily totals of earlier days go, and totals of months that ended before this day.
    pub totals_before: Day,
    /// Events of the audit trail before this instant go.
    pub audit_before: Timestamp,
}

/// How far a store's schema is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaStatus {
    /// As this binary needs it, or newer in a way it can use.
    Current,
    /// `migrate` has work to do; the text names it.
    Behind(String),
    /// Written by a newer version that this binary must not touch; the text names the versions.
    Ahead(String),
}

/// Health, schema and retention.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// The backend's name in `/health`: `sqlite`, `postgres` or `dynamodb`.
    fn backend(&self) -> &'static str;

    /// Succeeds where the store answers a trivial read.
    async fn ping(&self) -> Result<()>;

    /// How far the schema is. Changes nothing, also on an empty store.
    async fn schema_status(&self) -> Result<SchemaStatus>;

    /// Brings the schema up to date and answers how many steps that took. Safe to run twice and from several places
    /// at once: each step is applied exactly once. Refuses a schema that is [`SchemaStatus::Ahead`] with
    /// [`StorageError::Corrupt`].
    async fn migrate(&self) -> Result<u32>;

    /// Forgets at most `batch` rows of each kind and answers how many went. Call again until zero.
    ///
    /// A store that deletes what expired by itself only takes note, so that what is not deleted yet counts as gone on
    /// this instance, and answers zero.
    async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64>;

    /// Ends all connections. Later calls may fail.
    async fn close(&self);
}
