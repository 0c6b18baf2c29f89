//! Recording usage in one statement: whatever its size, a call is one round trip.
//!
//! The statement inserts what is new, adds it to the totals and answers both. It is right whoever else is at work:
//!
//! * A dedup key that somebody else is inserting makes it wait for them; afterwards the key is theirs or ours. Keys come
//!   in order, so two calls with the same keys cannot wait for each other.
//! * Totals are added to where they stand at that moment, under their row's lock, again in the order of their keys and
//!   only after all records.
//! * Amounts are added with exact integers. A sum that leaves its column fails the whole statement; then the call is done
//!   again record by record, see [`exact`](super::exact).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::postgres::{PgDatabaseError, PgRow};
use sqlx::{FromRow, Row};

use super::attempts::Failure;
use super::record_columns::{RecordColumns, RecordKeyColumns, input_records};
use super::session::Session;
use super::total_rows::{TotalRow, Totals, total_columns};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageKey, UsageRecord};
use crate::storage::contract::{RecordOutcome, Result};
use crate::storage::error::StorageError;
use crate::storage::sql::error::corrupt;
use crate::storage::sql::posting::{RecordKeys, TotalKey};
use crate::storage::sql::rows::{UsageRow, counter_columns, usage_columns};

/// Each accepted record's number, and each total that changed with its new values.
///
/// `sum` of a BIGINT is an exact NUMERIC, and a cast back that does not fit is an error. Costs are never negative, so
/// their carry is plain; a drift is signed and both of its parts have the sign of the whole, as `div` and `mod` cut
/// toward zero.
const RECORD: &str = concat!(
    "WITH input AS (",
    input_records!(),
    "), inserted AS (INSERT INTO usage_records (",
    usage_columns!(),
    ") SELECT ",
    usage_columns!(),
    " FROM input ORDER BY n ON CONFLICT (org_id, app_id, request_id) DO NOTHING RETURNING org_id, app_id, request_id), \
     accepted AS (SELECT input.* FROM inserted JOIN input USING (org_id, app_id, request_id)), \
     added AS (SELECT org_id, k.period, k.app_id, model_label, \
       sum(cost_micros) * 1000000 + sum(cost_residue) AS cost, \
       sum(drift_micros) * 1000000 + sum(drift_residue) AS drift, \
       count(*) AS requests, sum(errors) AS errors, sum(unpriced_requests) AS unpriced_requests, \
       sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, \
       sum(cache_read_input_tokens) AS cache_read_input_tokens, \
       sum(cache_write_input_tokens) AS cache_write_input_tokens, max(recorded_at) AS updated_at \
       FROM accepted CROSS JOIN LATERAL \
       (VALUES (day, accepted.app_id), (left(day, 7), accepted.app_id), (day, ''), (left(day, 7), '')) AS k (period, app_id) \
       GROUP BY org_id, k.period, k.app_id, model_label), \
     changed AS (INSERT INTO totals AS t (org_id, period, app_id, model_label, ",
    counter_columns!(),
    ") SELECT org_id, period, app_id, model_label, div(cost, 1000000)::bigint, mod(cost, 1000000)::bigint, \
       div(drift, 1000000)::bigint, mod(drift, 1000000)::bigint, requests, errors::bigint, unpriced_requests::bigint, \
       input_tokens::bigint, output_tokens::bigint, cache_read_input_tokens::bigint, cache_write_input_tokens::bigint, \
       updated_at FROM added ORDER BY org_id, period, app_id, model_label \
       ON CONFLICT (org_id, period, app_id, model_label) DO UPDATE SET \
       cost_micros = t.cost_micros + excluded.cost_micros + (t.cost_residue + excluded.cost_residue) / 1000000, \
       cost_residue = (t.cost_residue + excluded.cost_residue) % 1000000, \
       drift_micros = div((t.drift_micros::numeric + excluded.drift_micros) * 1000000 \
         + t.drift_residue + excluded.drift_residue, 1000000)::bigint, \
       drift_residue = mod((t.drift_micros::numeric + excluded.drift_micros) * 1000000 \
         + t.drift_residue + excluded.drift_residue, 1000000)::bigint, \
       requests = t.requests + excluded.requests, errors = t.errors + excluded.errors, \
       unpriced_requests = t.unpriced_requests + excluded.unpriced_requests, \
       input_tokens = t.input_tokens + excluded.input_tokens, \
       output_tokens = t.output_tokens + excluded.output_tokens, \
       cache_read_input_tokens = t.cache_read_input_tokens + excluded.cache_read_input_tokens, \
       cache_write_input_tokens = t.cache_write_input_tokens + excluded.cache_write_input_tokens, \
       updated_at = greatest(t.updated_at, excluded.updated_at) RETURNING ",
    total_columns!("t."),
    ") SELECT accepted.n, ",
    total_columns!("changed."),
    // Two lists in one answer.
    " FROM accepted FULL JOIN changed ON false"
);

const STORED: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (org_id, app_id, request_id) \
     JOIN usage_records USING (org_id, app_id, request_id)"
);

/// What a statement came to.
pub(super) enum Recorded {
    Committed(Accepted),
    /// A counter would leave its range; nothing was committed.
    Overflow,
}

/// Which records were accepted.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// Positions in what was given.
    positions: BTreeSet<usize>,
    /// The totals they were added to, as they are now.
    totals: Totals,
}

/// Records what is new of these, which have distinct keys in ascending order, and fit their columns.
pub(super) async fn record(mut session: Session, columns: RecordColumns<'_>) -> Result<Recorded, Failure> {
    let rows = match columns.bind(session.query(RECORD)).fetch_all(&mut *session).await {
        Ok(rows) => rows,
        Err(error) if is_out_of_range(&error) => return session.roll_back(Recorded::Overflow).await,
        Err(error) => return Err(error.into()),
    };
    let mut accepted = Accepted::default();
    for row in rows {
        accepted.take(&row)?;
    }
    session.commit(Recorded::Committed(accepted)).await
}

fn is_out_of_range(error: &sqlx::Error) -> bool {
    const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.code() == NUMERIC_VALUE_OUT_OF_RANGE)
}

impl Accepted {
    fn take(&mut self, row: &PgRow) -> Result<(), Failure> {
        match row.try_get::<Option<i64>, _>("n")? {
            Some(number) => {
                let position = usize::try_from(number - 1).map_err(|_| corrupt("ordinality"))?;
                self.positions.insert(position);
            }
            None => {
                let (key, total) = TotalRow::from_row(row)?.total()?;
                self.totals.insert(key, total);
            }
        }
        Ok(())
    }
}

/// The first record of each key, in the order of the keys.
pub(super) fn distinct(records: &[UsageRecord]) -> Vec<(UsageKey, &UsageRecord)> {
    let mut first: BTreeMap<UsageKey, &UsageRecord> = BTreeMap::new();
    for record in records {
        first.entry(record.key()).or_insert(record);
    }
    first.into_iter().collect()
}

/// The stored records of these keys.
pub(super) async fn read_stored(
    session: &mut Session,
    keys: impl IntoIterator<Item = &UsageKey>,
) -> Result<HashMap<UsageKey, UsageRecord>, Failure> {
    let query = RecordKeyColumns::of(keys).bind(session.query_as(STORED));
    stored_by_key(query.fetch_all(&mut **session).await?)
}

pub(super) fn stored_by_key(rows: Vec<UsageRow>) -> Result<HashMap<UsageKey, UsageRecord>, Failure> {
    let by_key = |row| {
        let record = UsageRecord::try_from(row)?;
        Ok((record.key(), record))
    };
    rows.into_iter().map(by_key).collect()
}

/// Keys of [`distinct`] records that were not accepted.
pub(super) fn repeated(distinct: &[(UsageKey, &UsageRecord)], accepted: &Accepted) -> Vec<UsageKey> {
    let repeats = distinct.iter().enumerate().filter(|(position, _)| !accepted.positions.contains(position));
    repeats.map(|(_, (key, _))| key.clone()).collect()
}

/// A record that was there at the first look and not at the second. Repeating the call records it.
pub(super) fn forgotten() -> StorageError {
    StorageError::Unavailable("a record was forgotten while it was repeated".to_owned())
}

/// What the first record of a key came to.
enum First<'a> {
    Accepted(&'a UsageRecord),
    Stored(&'a UsageRecord),
}

/// One outcome per record, in order. `stored` has the records of all [`repeated`] keys and `totals` theirs.
pub(super) fn outcomes(
    records: &[UsageRecord],
    distinct: &[(UsageKey, &UsageRecord)],
    accepted: Accepted,
    stored: &HashMap<UsageKey, UsageRecord>,
    totals: Totals,
) -> Result<Vec<RecordOutcome>> {
    let mut firsts = HashMap::with_capacity(distinct.len());
    for (position, (key, record)) in distinct.iter().enumerate() {
        let first = if accepted.positions.contains(&position) {
            First::Accepted(record)
        } else {
            First::Stored(stored.get(key).ok_or_else(forgotten)?)
        };
        firsts.insert(key, first);
    }
    // Those that were read later are at least as new.
    let mut now = accepted.totals;
    now.extend(totals);
    records
        .iter()
        .map(|record| {
            let first = firsts.get(&record.key()).ok_or_else(|| corrupt("usage_records.request_id"))?;
            Ok(match first {
                First::Accepted(first) if std::ptr::eq(*first, record) => {
                    RecordOutcome::Accepted(label_totals(first, &now))
                }
                First::Accepted(first) | First::Stored(first) if first.fingerprint == record.fingerprint => {
                    RecordOutcome::Duplicate(Box::new((*first).clone()), label_totals(first, &now))
                }
                First::Accepted(_) | First::Stored(_) => RecordOutcome::Conflict,
            })
        })
        .collect()
}

fn label_totals(record: &UsageRecord, totals: &Totals) -> LabelTotals {
    let keys = RecordKeys::of(record);
    let [app_day, app_month, org_day, org_month] =
        keys.each().map(|key: &TotalKey| totals.get(key).map(|total| total.counters).unwrap_or_default());
    LabelTotals {
        app: SpendTotals { day: app_day, month: app_month },
        org: SpendTotals { day: org_day, month: org_month },
    }
}
