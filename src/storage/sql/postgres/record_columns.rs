//! Usage records as one array for each column: a statement of one text for any number of them.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs};
use uuid::Uuid;

use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{self, CounterColumns, RecordAmounts, millis};

/// Keys of records.
#[derive(Debug, Default)]
pub(super) struct RecordKeyColumns<'a> {
    org_ids: Vec<Uuid>,
    app_ids: Vec<&'a str>,
    request_ids: Vec<Uuid>,
}

impl<'a> RecordKeyColumns<'a> {
    pub(super) fn of(keys: impl IntoIterator<Item = &'a UsageKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.org_ids.push(key.org_id.0);
            columns.app_ids.push(key.app_id.as_str());
            columns.request_ids.push(key.request_id.0);
        }
        columns
    }

    pub(super) fn bind<O>(self, query: QueryAs<'a, Postgres, O, PgArguments>) -> QueryAs<'a, Postgres, O, PgArguments> {
        query.bind(self.org_ids).bind(self.app_ids).bind(self.request_ids)
    }

    pub(super) fn bind_plain(self, query: Query<'a, Postgres, PgArguments>) -> Query<'a, Postgres, PgArguments> {
        query.bind(self.org_ids).bind(self.app_ids).bind(self.request_ids)
    }
}

/// The arrays of [`RecordColumns`] as a table `i` of one row for each record and its number `n` from 1. The first
/// columns are those of the table; the last four, what the record adds to totals beyond them.
macro_rules! input_records {
    () => {
        "SELECT n, org_id, app_id COLLATE \"C\" AS app_id, request_id, fingerprint, \
         model_label COLLATE \"C\" AS model_label, day COLLATE \"C\" AS day, timestamp, recorded_at, status, cost_source, \
         cost_micros, cost_residue, server_cost_micros, server_cost_residue, input_tokens, output_tokens, \
         cache_read_input_tokens, cache_write_input_tokens, cache_write_1h_tokens, cache_ttl_assumed, pricing_status, \
         price_source, price_version, model_id, calling_region, service_tier, latency, shard_id, drift_micros, \
         drift_residue, errors, unpriced_requests \
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::bigint[], \
         $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], \
         $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::boolean[], $21::text[], \
         $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::smallint[], $29::bigint[], \
         $30::bigint[], $31::bigint[], $32::bigint[]) WITH ORDINALITY AS i (org_id, app_id, request_id, fingerprint, \
         model_label, day, timestamp, recorded_at, status, cost_source, cost_micros, cost_residue, server_cost_micros, \
         server_cost_residue, input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, \
         cache_write_1h_tokens, cache_ttl_assumed, pricing_status, price_source, price_version, model_id, \
         calling_region, service_tier, latency, shard_id, drift_micros, drift_residue, errors, unpriced_requests, n)"
    };
}

pub(super) use input_records;

/// Records with what they add to totals.
#[derive(Debug, Default)]
pub(super) struct RecordColumns<'a> {
    keys: RecordKeyColumns<'a>,
    fingerprints: Vec<&'a [u8]>,
    model_labels: Vec<&'a str>,
    days: Vec<String>,
    timestamps: Vec<i64>,
    recorded_at: Vec<i64>,
    statuses: Vec<&'static str>,
    cost_sources: Vec<&'static str>,
    costs: (Vec<i64>, Vec<i64>),
    server_costs: (Vec<Option<i64>>, Vec<Option<i64>>),
    tokens: [Vec<i64>; 5],
    cache_ttl_assumed: Vec<bool>,
    pricing_statuses: Vec<&'static str>,
    price_sources: Vec<Option<&'static str>>,
    price_versions: Vec<Option<&'a str>>,
    model_ids: Vec<&'a str>,
    calling_regions: Vec<Option<&'a str>>,
    service_tiers: Vec<&'static str>,
    latencies: Vec<&'static str>,
    shard_ids: Vec<i16>,
    drifts: (Vec<i64>, Vec<i64>),
    errors: Vec<i64>,
    unpriced_requests: Vec<i64>,
}

impl<'a> RecordColumns<'a> {
    /// `None` where a number of a record fits no column.
    pub(super) fn of(records: impl IntoIterator<Item = &'a UsageRecord>) -> Option<Self> {
        let mut columns = Self::default();
        for record in records {
            columns.push(record)?;
        }
        Some(columns)
    }

    fn push(&mut self, record: &'a UsageRecord) -> Option<()> {
        let amounts = RecordAmounts::of(record)?;
        let [_, _, drift_micros, drift_residue, _, errors, unpriced_requests, ..] =
            CounterColumns::of(&record.counters())?.0;
        self.keys.org_ids.push(record.org_id.0);
        self.keys.app_ids.push(record.app_id.as_str());
        self.keys.request_ids.push(record.request_id.0);
        self.fingerprints.push(&record.fingerprint);
        self.model_labels.push(record.model_label.as_str());
        self.days.push(record.day.to_string());
        self.timestamps.push(millis(record.timestamp));
        self.recorded_at.push(millis(record.recorded_at));
        self.statuses.push(columns::status_text(record.status));
        self.cost_sources.push(columns::cost_source_text(record.cost_source));
        self.costs.0.push(amounts.cost.0);
        self.costs.1.push(amounts.cost.1);
        self.server_costs.0.push(amounts.server_cost.map(|(micros, _)| micros));
        self.server_costs.1.push(amounts.server_cost.map(|(_, residue)| residue));
        for (column, tokens) in self.tokens.iter_mut().zip(amounts.tokens) {
            column.push(tokens);
        }
        self.cache_ttl_assumed.push(record.cache_ttl_assumed);
        self.pricing_statuses.push(columns::pricing_status_text(record.pricing.status));
        self.price_sources.push(record.pricing.source.map(columns::price_source_text));
        self.price_versions.push(record.pricing.version.as_deref());
        self.model_ids.push(record.pricing.model_id.as_str());
        self.calling_regions.push(record.calling_region.as_deref());
        self.service_tiers.push(columns::service_tier_text(record.service_tier));
        self.latencies.push(columns::latency_text(record.latency));
        self.shard_ids.push(i16::from(record.shard_id));
        self.drifts.0.push(drift_micros);
        self.drifts.1.push(drift_residue);
        self.errors.push(errors);
        self.unpriced_requests.push(unpriced_requests);
        Some(())
    }

    /// Binds `$1` to `$32` of [`input_records`].
    pub(super) fn bind(self, query: Query<'a, Postgres, PgArguments>) -> Query<'a, Postgres, PgArguments> {
        let query = self.keys.bind_plain(query);
        let mut query = query
            .bind(self.fingerprints)
            .bind(self.model_labels)
            .bind(self.days)
            .bind(self.timestamps)
            .bind(self.recorded_at)
            .bind(self.statuses)
            .bind(self.cost_sources)
            .bind(self.costs.0)
            .bind(self.costs.1)
            .bind(self.server_costs.0)
            .bind(self.server_costs.1);
        for tokens in self.tokens {
            query = query.bind(tokens);
        }
        query
            .bind(self.cache_ttl_assumed)
            .bind(self.pricing_statuses)
            .bind(self.price_sources)
            .bind(self.price_versions)
            .bind(self.model_ids)
            .bind(self.calling_regions)
            .bind(self.service_tiers)
            .bind(self.latencies)
            .bind(self.shard_ids)
            .bind(self.drifts.0)
            .bind(self.drifts.1)
            .bind(self.errors)
            .bind(self.unpriced_requests)
    }
}

/// The figures of corrected records: what repricing may replace.
#[derive(Debug, Default)]
pub(super) struct FigureColumns<'a> {
    keys: RecordKeyColumns<'a>,
    costs: (Vec<i64>, Vec<i64>),
    server_costs: (Vec<Option<i64>>, Vec<Option<i64>>),
    pricing_statuses: Vec<&'static str>,
    price_sources: Vec<Option<&'static str>>,
    price_versions: Vec<Option<&'a str>>,
    model_ids: Vec<&'a str>,
}

impl<'a> FigureColumns<'a> {
    pub(super) fn of(corrected: &'a [(UsageRecord, RecordAmounts)]) -> Self {
        let mut columns = Self::default();
        for (record, amounts) in corrected {
            columns.keys.org_ids.push(record.org_id.0);
            columns.keys.app_ids.push(record.app_id.as_str());
            columns.keys.request_ids.push(record.request_id.0);
            columns.costs.0.push(amounts.cost.0);
            columns.costs.1.push(amounts.cost.1);
            columns.server_costs.0.push(amounts.server_cost.map(|(micros, _)| micros));
            columns.server_costs.1.push(amounts.server_cost.map(|(_, residue)| residue));
            columns.pricing_statuses.push(columns::pricing_status_text(record.pricing.status));
            columns.price_sources.push(record.pricing.source.map(columns::price_source_text));
            columns.price_versions.push(record.pricing.version.as_deref());
            columns.model_ids.push(record.pricing.model_id.as_str());
        }
        columns
    }

    /// Binds `$1` to `$11`.
    pub(super) fn bind(self, query: Query<'a, Postgres, PgArguments>) -> Query<'a, Postgres, PgArguments> {
        self.keys
            .bind_plain(query)
            .bind(self.costs.0)
            .bind(self.costs.1)
            .bind(self.server_costs.0)
            .bind(self.server_costs.1)
            .bind(self.pricing_statuses)
            .bind(self.price_sources)
            .bind(self.price_versions)
            .bind(self.model_ids)
    }
}

/// A record that was accepted, but whose numbers fit no column: nobody accepts one.
pub(super) fn out_of_range() -> StorageError {
    StorageError::Backend("an amount is out of range".to_owned())
}
