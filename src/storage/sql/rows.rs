//! Rows as domain values, the same for every database. What cannot be one is [`StorageError::Corrupt`], named by column,
//! never quoted.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::credential::{ClientCredential, PreviousSecret, SecretHash};
use crate::domain::ids::{OrgId, RequestId};
use crate::domain::money::PicoUsd;
use crate::domain::profile::InferenceProfile;
use crate::domain::selection::{FallbackReason, FallbackState};
use crate::domain::tenant::{App, Org};
use crate::domain::tokens::TokenCounts;
use crate::domain::usage::{Counters, RecordPricing, UsageRecord};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{self, CounterColumns, instant};
use crate::storage::sql::error::corrupt;

/// Columns of a usage record, in the order they are bound.
macro_rules! usage_columns {
    () => {
        "org_id, app_id, request_id, fingerprint, model_label, day, timestamp, recorded_at, status, cost_source, \
         cost_micros, cost_residue, server_cost_micros, server_cost_residue, input_tokens, output_tokens, \
         cache_read_input_tokens, cache_write_input_tokens, cache_write_1h_tokens, cache_ttl_assumed, pricing_status, \
         price_source, price_version, model_id, calling_region, service_tier, latency, shard_id"
    };
}

/// Columns of [`Counters`] and when they changed, in the order of [`CounterColumns`].
macro_rules! counter_columns {
    () => {
        "cost_micros, cost_residue, drift_micros, drift_residue, requests, errors, unpriced_requests, input_tokens, \
         output_tokens, cache_read_input_tokens, cache_write_input_tokens, updated_at"
    };
}

pub(crate) use {counter_columns, usage_columns};

/// Configuration to store.
pub(crate) fn to_json<T: serde::Serialize>(config: &T) -> Result<String, StorageError> {
    // Cannot fail for our types: maps have string keys.
    serde_json::to_string(config).map_err(|_| StorageError::Backend("the configuration is not JSON".to_owned()))
}

/// A version to store.
pub(crate) fn version_column(version: u64) -> Result<i64, StorageError> {
    i64::try_from(version).map_err(|_| StorageError::Backend("version out of range".to_owned()))
}

/// A version to compare with: one that no row can have is a conflict.
pub(crate) fn expected_version_column(version: u64) -> Result<i64, StorageError> {
    i64::try_from(version).map_err(|_| StorageError::Conflict)
}

/// A number that is never negative.
fn unsigned(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

#[derive(FromRow)]
pub(crate) struct OrgRow {
    org_id: Uuid,
    config: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<OrgRow> for Org {
    type Error = StorageError;

    fn try_from(row: OrgRow) -> Result<Self, StorageError> {
        Ok(Self {
            org_id: OrgId(row.org_id),
            // The error of the JSON reader quotes what it read; its place is enough.
            config: serde_json::from_str(&row.config).map_err(|e| corrupt(&format!("orgs.config:{}", e.column())))?,
            version: unsigned(row.version).ok_or_else(|| corrupt("orgs.version"))?,
            created_at: instant(row.created_at).ok_or_else(|| corrupt("orgs.created_at"))?,
            updated_at: instant(row.updated_at).ok_or_else(|| corrupt("orgs.updated_at"))?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct AppRow {
    pub(crate) org_id: Uuid,
    pub(crate) app_id: String,
    pub(crate) config: String,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl TryFrom<AppRow> for App {
    type Error = StorageError;

    fn try_from(row: AppRow) -> Result<Self, StorageError> {
        Ok(Self {
            org_id: OrgId(row.org_id),
            app_id: row.app_id.parse().map_err(|_| corrupt("apps.app_id"))?,
            config: serde_json::from_str(&row.config).map_err(|e| corrupt(&format!("apps.config:{}", e.column())))?,
            version: unsigned(row.version).ok_or_else(|| corrupt("apps.version"))?,
            created_at: instant(row.created_at).ok_or_else(|| corrupt("apps.created_at"))?,
            updated_at: instant(row.updated_at).ok_or_else(|| corrupt("apps.updated_at"))?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct ProfileRow {
    pub(crate) org_id: Uuid,
    pub(crate) app_id: String,
    pub(crate) profile_label: String,
    pub(crate) arn: String,
    pub(crate) description: String,
    pub(crate) created_at: i64,
}

impl TryFrom<ProfileRow> for InferenceProfile {
    type Error = StorageError;

    fn try_from(row: ProfileRow) -> Result<Self, StorageError> {
        let bad = |column: &str| corrupt(&format!("inference_profiles.{column}"));
        Ok(Self {
            org_id: OrgId(row.org_id),
            app_id: row.app_id.parse().map_err(|_| bad("app_id"))?,
            profile_label: row.profile_label.parse().map_err(|_| bad("profile_label"))?,
            arn: row.arn.parse().map_err(|_| bad("arn"))?,
            description: row.description,
            created_at: instant(row.created_at).ok_or_else(|| bad("created_at"))?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct CredentialRow {
    client_id: String,
    current_salt: Vec<u8>,
    current_hash: Vec<u8>,
    previous_salt: Option<Vec<u8>>,
    previous_hash: Option<Vec<u8>>,
    previous_expires_at: Option<i64>,
    token_epoch: Uuid,
    version: i64,
    created_at: i64,
}

impl TryFrom<CredentialRow> for ClientCredential {
    type Error = StorageError;

    fn try_from(row: CredentialRow) -> Result<Self, StorageError> {
        let previous = match (row.previous_salt, row.previous_hash, row.previous_expires_at) {
            (None, None, None) => None,
            (Some(salt), Some(hash), Some(expires_at)) => Some(PreviousSecret {
                hash: secret_hash(&salt, &hash).ok_or_else(|| corrupt("credentials.previous_hash"))?,
                expires_at: instant(expires_at).ok_or_else(|| corrupt("credentials.previous_expires_at"))?,
            }),
            _ => return Err(corrupt("credentials.previous_hash")),
        };
        Ok(Self {
            client_id: row.client_id.parse().map_err(|_| corrupt("credentials.client_id"))?,
            current: secret_hash(&row.current_salt, &row.current_hash)
                .ok_or_else(|| corrupt("credentials.current_hash"))?,
            previous,
            token_epoch: row.token_epoch,
            version: unsigned(row.version).ok_or_else(|| corrupt("credentials.version"))?,
            created_at: instant(row.created_at).ok_or_else(|| corrupt("credentials.created_at"))?,
        })
    }
}

fn secret_hash(salt: &[u8], hash: &[u8]) -> Option<SecretHash> {
    Some(SecretHash { salt: salt.try_into().ok()?, hash: hash.try_into().ok()? })
}

#[derive(FromRow)]
pub(crate) struct FallbackRow {
    model_label: String,
    model_index: i32,
    previous_model_label: String,
    reason: String,
    reason_label: Option<String>,
    activated_at: i64,
    version: i64,
}

impl TryFrom<FallbackRow> for FallbackState {
    type Error = StorageError;

    fn try_from(row: FallbackRow) -> Result<Self, StorageError> {
        let reason = match (row.reason.as_str(), row.reason_label) {
            ("MANUAL_OVERRIDE", None) => FallbackReason::ManualOverride,
            ("QUOTA_EXCEEDED", Some(label)) => {
                FallbackReason::QuotaExceeded(label.parse().map_err(|_| corrupt("fallback_states.reason_label"))?)
            }
            _ => return Err(corrupt("fallback_states.reason")),
        };
        Ok(Self {
            model_label: row.model_label.parse().map_err(|_| corrupt("fallback_states.model_label"))?,
            model_index: u16::try_from(row.model_index).map_err(|_| corrupt("fallback_states.model_index"))?,
            previous_model_label: row
                .previous_model_label
                .parse()
                .map_err(|_| corrupt("fallback_states.previous_model_label"))?,
            reason,
            activated_at: instant(row.activated_at).ok_or_else(|| corrupt("fallback_states.activated_at"))?,
            version: unsigned(row.version).ok_or_else(|| corrupt("fallback_states.version"))?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct CounterRow {
    cost_micros: i64,
    cost_residue: i64,
    drift_micros: i64,
    drift_residue: i64,
    requests: i64,
    errors: i64,
    unpriced_requests: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_input_tokens: i64,
    cache_write_input_tokens: i64,
}

impl TryFrom<CounterRow> for Counters {
    type Error = StorageError;

    fn try_from(row: CounterRow) -> Result<Self, StorageError> {
        CounterColumns([
            row.cost_micros,
            row.cost_residue,
            row.drift_micros,
            row.drift_residue,
            row.requests,
            row.errors,
            row.unpriced_requests,
            row.input_tokens,
            row.output_tokens,
            row.cache_read_input_tokens,
            row.cache_write_input_tokens,
        ])
        .counters()
        .ok_or_else(|| corrupt("a negative counter"))
    }
}

#[derive(FromRow)]
pub(crate) struct UsageRow {
    org_id: Uuid,
    app_id: String,
    request_id: Uuid,
    fingerprint: Vec<u8>,
    model_label: String,
    day: String,
    timestamp: i64,
    recorded_at: i64,
    status: String,
    cost_source: String,
    cost_micros: i64,
    cost_residue: i64,
    server_cost_micros: Option<i64>,
    server_cost_residue: Option<i64>,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_input_tokens: i64,
    cache_write_input_tokens: i64,
    cache_write_1h_tokens: i64,
    cache_ttl_assumed: bool,
    pricing_status: String,
    price_source: Option<String>,
    price_version: Option<String>,
    model_id: String,
    calling_region: Option<String>,
    service_tier: String,
    latency: String,
    shard_id: i16,
}

impl TryFrom<UsageRow> for UsageRecord {
    type Error = StorageError;

    fn try_from(row: UsageRow) -> Result<Self, StorageError> {
        let bad = |column: &str| corrupt(&format!("usage_records.{column}"));
        let tokens = |value: i64, column: &str| unsigned(value).ok_or_else(|| bad(column));
        let server_cost = match (row.server_cost_micros, row.server_cost_residue) {
            (None, None) => None,
            (Some(micros), Some(residue)) => {
                Some(PicoUsd::from_columns(micros, residue).ok_or_else(|| bad("server_cost_micros"))?)
            }
            _ => return Err(bad("server_cost_micros")),
        };
        let source = match row.price_source.as_deref() {
            None => None,
            Some(text) => Some(columns::price_source_of(text).ok_or_else(|| bad("price_source"))?),
        };
        Ok(Self {
            org_id: OrgId(row.org_id),
            app_id: row.app_id.parse().map_err(|_| bad("app_id"))?,
            request_id: RequestId(row.request_id),
            fingerprint: row.fingerprint.try_into().map_err(|_| bad("fingerprint"))?,
            model_label: row.model_label.parse().map_err(|_| bad("model_label"))?,
            day: row.day.parse().map_err(|_| bad("day"))?,
            timestamp: instant(row.timestamp).ok_or_else(|| bad("timestamp"))?,
            recorded_at: instant(row.recorded_at).ok_or_else(|| bad("recorded_at"))?,
            status: columns::status_of(&row.status).ok_or_else(|| bad("status"))?,
            cost_source: columns::cost_source_of(&row.cost_source).ok_or_else(|| bad("cost_source"))?,
            cost: PicoUsd::from_columns(row.cost_micros, row.cost_residue).ok_or_else(|| bad("cost_micros"))?,
            server_cost,
            tokens: TokenCounts {
                input: tokens(row.input_tokens, "input_tokens")?,
                output: tokens(row.output_tokens, "output_tokens")?,
                cache_read: tokens(row.cache_read_input_tokens, "cache_read_input_tokens")?,
                cache_write: tokens(row.cache_write_input_tokens, "cache_write_input_tokens")?,
                cache_write_1h: tokens(row.cache_write_1h_tokens, "cache_write_1h_tokens")?,
            },
            cache_ttl_assumed: row.cache_ttl_assumed,
            pricing: RecordPricing {
                status: columns::pricing_status_of(&row.pricing_status).ok_or_else(|| bad("pricing_status"))?,
                source,
                version: row.price_version,
                model_id: row.model_id,
            },
            calling_region: row.calling_region,
            service_tier: columns::service_tier_of(&row.service_tier).ok_or_else(|| bad("service_tier"))?,
            latency: columns::latency_of(&row.latency).ok_or_else(|| bad("latency"))?,
            shard_id: u8::try_from(row.shard_id).map_err(|_| bad("shard_id"))?,
        })
    }
}
