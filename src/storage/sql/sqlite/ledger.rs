//! Recording usage: one transaction per call, and few statements whatever its size.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::{FromRow, Sqlite, SqliteConnection};

use super::SqliteStorage;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, RequestId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageKey, UsageRecord};
use crate::storage::contract::{
    Breakdown, DailyTotal, DailyTotalKey, IngestLimits, RecordOutcome, Result, UsageLedger,
};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{self, RecordAmounts, app_key, app_of_key, instant, millis};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::posting::{ChangedTotals, Period, Posting, Total, TotalKey, totals_to_read};
use crate::storage::sql::rows::{CounterRow, UsageRow, counter_columns, usage_columns};

#[async_trait]
impl UsageLedger for SqliteStorage {
    fn ingest_limits(&self) -> IngestLimits {
        // One writer: a second call under way would only wait. 512 records amortize the sync of a commit well, and hold
        // the write lock for some ten milliseconds.
        IngestLimits { max_batch: 512, concurrency: 1 }
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // The lock comes first: what is read below stays true until the commit. So everything can be decided in memory,
        // exactly, and no counter is ever added to by SQLite, whose sums would turn into floating point on overflow.
        let mut transaction = self.write().await?;
        let keys: Vec<_> = records.iter().map(UsageRecord::key).collect();
        let stored = read_stored(&mut transaction, &keys).await?;
        let totals = read_totals(&mut transaction, &totals_to_read(records, &stored)).await?;
        let posting = Posting::plan(records, &stored, totals);
        insert_records(&mut transaction, &posting.accepted).await?;
        write_totals(&mut transaction, &posting.changed).await?;
        transaction.commit().await?;
        Ok(posting.outcomes)
    }

    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>> {
        let row: Option<UsageRow> = sqlx::query_as(concat!(
            "SELECT ",
            usage_columns!(),
            " FROM usage_records WHERE org_id = ?1 AND app_id = ?2 AND request_id = ?3"
        ))
        .bind(org_id.0)
        .bind(app_id.as_str())
        .bind(request_id.0)
        .fetch_optional(&self.readers)
        .await?;
        row.map(UsageRecord::try_from).transpose()
    }

    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
        let mut connection = self.readers.acquire().await?;
        Ok(super::totals::scope_totals(&mut connection, scope, day).await?.0)
    }

    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals> {
        let mut connection = self.readers.acquire().await?;
        super::totals::label_totals(&mut connection, org_id, app_id, label, day).await
    }

    async fn daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>> {
        let mut connection = self.readers.acquire().await?;
        super::totals::daily_totals(&mut connection, org_id, breakdown, days, after, limit).await
    }
}

/// Rows per statement. A statement is prepared once per size, so a few fixed sizes serve batches of any length.
const STATEMENT_ROWS: [usize; 4] = [64, 16, 4, 1];

/// Splits into slices of [`STATEMENT_ROWS`] lengths, longest first.
fn statement_rows<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let rows = STATEMENT_ROWS.into_iter().find(|rows| *rows <= rest.len())?;
        let (now, later) = rest.split_at_checked(rows)?;
        rest = later;
        Some(now)
    })
}

pub(super) const STORED: &str =
    concat!("SELECT ", usage_columns!(), " FROM usage_records WHERE (org_id, app_id, request_id) IN (");

/// The stored record of every one of these submissions that was recorded.
pub(super) async fn read_stored(
    connection: &mut SqliteConnection,
    keys: &[UsageKey],
) -> Result<HashMap<UsageKey, UsageRecord>> {
    let mut stored = HashMap::new();
    for keys in statement_rows(keys) {
        let mut query = QueryBuilder::<Sqlite>::new(STORED);
        query.push_values(keys, |mut row, key| {
            row.push_bind(key.org_id.0).push_bind(key.app_id.as_str()).push_bind(key.request_id.0);
        });
        query.push(")");
        let rows: Vec<UsageRow> = query.build_query_as().fetch_all(&mut *connection).await?;
        for row in rows {
            let record = UsageRecord::try_from(row)?;
            stored.insert(record.key(), record);
        }
    }
    Ok(stored)
}

async fn insert_records(connection: &mut SqliteConnection, records: &[&UsageRecord]) -> Result<()> {
    let rows = records
        .iter()
        .map(|record| RecordAmounts::of(record).map(|amounts| (*record, amounts)))
        .collect::<Option<Vec<_>>>()
        // Posting accepts no other.
        .ok_or_else(|| StorageError::Backend("an amount is out of range".to_owned()))?;
    for rows in statement_rows(&rows) {
        let mut query = QueryBuilder::<Sqlite>::new(concat!("INSERT INTO usage_records (", usage_columns!(), ") "));
        query.push_values(rows, |row, (record, amounts)| push_record(row, record, amounts));
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Binds a record in the order of `usage_columns!`.
fn push_record(mut row: Separated<'_, Sqlite, &'static str>, record: &UsageRecord, amounts: &RecordAmounts) {
    row.push_bind(record.org_id.0)
        .push_bind(record.app_id.as_str())
        .push_bind(record.request_id.0)
        .push_bind(&record.fingerprint[..])
        .push_bind(record.model_label.as_str())
        .push_bind(record.day.to_string())
        .push_bind(millis(record.timestamp))
        .push_bind(millis(record.recorded_at))
        .push_bind(columns::status_text(record.status))
        .push_bind(columns::cost_source_text(record.cost_source))
        .push_bind(amounts.cost.0)
        .push_bind(amounts.cost.1)
        .push_bind(amounts.server_cost.map(|(micros, _)| micros))
        .push_bind(amounts.server_cost.map(|(_, residue)| residue));
    for tokens in amounts.tokens {
        row.push_bind(tokens);
    }
    row.push_bind(record.cache_ttl_assumed)
        .push_bind(columns::pricing_status_text(record.pricing.status))
        .push_bind(record.pricing.source.map(columns::price_source_text))
        .push_bind(record.pricing.version.as_deref())
        .push_bind(record.pricing.model_id.as_str())
        .push_bind(record.calling_region.as_deref())
        .push_bind(columns::service_tier_text(record.service_tier))
        .push_bind(columns::latency_text(record.latency))
        .push_bind(record.shard_id);
}

/// The two tables of totals differ in the name of their period only.
macro_rules! totals_sql {
    ($table:literal, $period:literal) => {
        TotalsSql {
            select: concat!(
                "SELECT org_id, ",
                $period,
                " AS period, app_id, model_label, ",
                counter_columns!(),
                " FROM ",
                $table,
                " WHERE (org_id, ",
                $period,
                ", app_id, model_label) IN ("
            ),
            insert: concat!(
                "INSERT INTO ",
                $table,
                " (org_id, ",
                $period,
                ", app_id, model_label, ",
                counter_columns!(),
                ") "
            ),
            on_conflict: concat!(
                " ON CONFLICT (org_id, ",
                $period,
                ", app_id, model_label) DO UPDATE SET \
                 cost_micros = excluded.cost_micros, cost_residue = excluded.cost_residue, \
                 drift_micros = excluded.drift_micros, drift_residue = excluded.drift_residue, \
                 requests = excluded.requests, errors = excluded.errors, \
                 unpriced_requests = excluded.unpriced_requests, input_tokens = excluded.input_tokens, \
                 output_tokens = excluded.output_tokens, \
                 cache_read_input_tokens = excluded.cache_read_input_tokens, \
                 cache_write_input_tokens = excluded.cache_write_input_tokens, updated_at = excluded.updated_at"
            ),
        }
    };
}

pub(super) struct TotalsSql {
    pub(super) select: &'static str,
    insert: &'static str,
    on_conflict: &'static str,
}

pub(super) const DAILY: TotalsSql = totals_sql!("daily_totals", "day");
pub(super) const MONTHLY: TotalsSql = totals_sql!("monthly_totals", "month");

impl Period {
    fn sql(self) -> &'static TotalsSql {
        match self {
            Self::Day(_) => &DAILY,
            Self::Month(_) => &MONTHLY,
        }
    }

    fn column(self) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Month(month) => month.to_string(),
        }
    }

    /// The period a column holds, of the same kind as this one.
    fn same_kind(self, column: &str) -> Option<Self> {
        match self {
            Self::Day(_) => column.parse().ok().map(Self::Day),
            Self::Month(_) => column.parse().ok().map(Self::Month),
        }
    }

    fn is_day(self) -> bool {
        matches!(self, Self::Day(_))
    }
}

#[derive(FromRow)]
struct TotalRow {
    org_id: uuid::Uuid,
    period: String,
    app_id: String,
    model_label: String,
    #[sqlx(flatten)]
    counters: CounterRow,
    updated_at: i64,
}

impl TotalRow {
    fn total(self, kind: Period) -> Result<(TotalKey, Total)> {
        let key = TotalKey {
            period: kind.same_kind(&self.period).ok_or_else(|| corrupt("totals.day"))?,
            org_id: OrgId(self.org_id),
            app_id: app_of_key(&self.app_id).ok_or_else(|| corrupt("totals.app_id"))?,
            model_label: self.model_label.parse().map_err(|_| corrupt("totals.model_label"))?,
        };
        let updated_at = instant(self.updated_at).ok_or_else(|| corrupt("totals.updated_at"))?;
        Ok((key, Total { counters: self.counters.try_into()?, updated_at }))
    }
}

pub(super) async fn read_totals(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<TotalKey>,
) -> Result<BTreeMap<TotalKey, Total>> {
    let mut totals = BTreeMap::new();
    let (days, months): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.period.is_day());
    for keys in statement_rows(&days).chain(statement_rows(&months)) {
        let Some(kind) = keys.first().map(|key| key.period) else { continue };
        let mut query = QueryBuilder::<Sqlite>::new(kind.sql().select);
        query.push_values(keys, |row, key| push_key(row, key));
        query.push(")");
        let rows: Vec<TotalRow> = query.build_query_as().fetch_all(&mut *connection).await?;
        for row in rows {
            let (key, total) = row.total(kind)?;
            totals.insert(key, total);
        }
    }
    Ok(totals)
}

pub(super) async fn write_totals(connection: &mut SqliteConnection, changed: &ChangedTotals) -> Result<()> {
    let (days, months): (Vec<_>, Vec<_>) = changed.iter().partition(|(key, _)| key.period.is_day());
    for rows in statement_rows(&days).chain(statement_rows(&months)) {
        let Some(sql) = rows.first().map(|(key, _)| key.period.sql()) else { continue };
        let mut query = QueryBuilder::<Sqlite>::new(sql.insert);
        query.push_values(rows, |mut row, (key, (counters, updated_at))| {
            push_key_to(&mut row, key);
            for counter in counters.0 {
                row.push_bind(counter);
            }
            row.push_bind(millis(*updated_at));
        });
        query.push(sql.on_conflict);
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

fn push_key(mut row: Separated<'_, Sqlite, &'static str>, key: &TotalKey) {
    push_key_to(&mut row, key);
}

fn push_key_to(row: &mut Separated<'_, Sqlite, &'static str>, key: &TotalKey) {
    row.push_bind(key.org_id.0)
        .push_bind(key.period.column())
        .push_bind(app_key(key.app_id.as_ref()))
        .push_bind(key.model_label.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_split_into_few_statement_sizes_without_loss() {
        for length in [0, 1, 3, 4, 15, 63, 64, 65, 512, 1000] {
            let rows: Vec<usize> = (0..length).collect();
            let split: Vec<&[usize]> = statement_rows(&rows).collect();
            assert_eq!(split.concat(), rows);
            assert!(split.iter().all(|rows| STATEMENT_ROWS.contains(&rows.len())));
        }
    }
}
