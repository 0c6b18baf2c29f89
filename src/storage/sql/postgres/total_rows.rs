//! Totals as one array for each column, and the rows they are read from.
//!
//! Every statement here takes its locks in the order of the key (organization, period, application, label), so that no
//! two writers ever wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs};
use uuid::Uuid;

use super::attempts::Failure;
use super::session::Session;
use crate::domain::ids::OrgId;
use crate::domain::usage::Counters;
use crate::storage::contract::Result;
use crate::storage::sql::columns::{app_key, app_of_key, instant, millis};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::posting::{ChangedTotals, Period, Total, TotalKey};
use crate::storage::sql::rows::{CounterRow, counter_columns};

/// Totals by their key.
pub(super) type Totals = BTreeMap<TotalKey, Total>;

/// Columns of [`TotalRow`].
macro_rules! total_columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "org_id, ",
            $prefix,
            "period, ",
            $prefix,
            "app_id, ",
            $prefix,
            "model_label, ",
            $prefix,
            "cost_micros, ",
            $prefix,
            "cost_residue, ",
            $prefix,
            "drift_micros, ",
            $prefix,
            "drift_residue, ",
            $prefix,
            "requests, ",
            $prefix,
            "errors, ",
            $prefix,
            "unpriced_requests, ",
            $prefix,
            "input_tokens, ",
            $prefix,
            "output_tokens, ",
            $prefix,
            "cache_read_input_tokens, ",
            $prefix,
            "cache_write_input_tokens, ",
            $prefix,
            "updated_at"
        )
    };
}

pub(super) use total_columns;

/// A period in a column.
pub(super) fn period_text(period: Period) -> String {
    match period {
        Period::Day(day) => day.to_string(),
        Period::Month(month) => month.to_string(),
    }
}

/// The inverse of [`period_text`]: a month is shorter than a day.
fn period_of(text: &str) -> Option<Period> {
    const MONTH: usize = "YYYY-MM".len();
    if text.len() == MONTH { text.parse().ok().map(Period::Month) } else { text.parse().ok().map(Period::Day) }
}

#[derive(FromRow)]
pub(super) struct TotalRow {
    org_id: Uuid,
    period: String,
    app_id: String,
    model_label: String,
    #[sqlx(flatten)]
    counters: CounterRow,
    updated_at: i64,
}

impl TotalRow {
    pub(super) fn total(self) -> Result<(TotalKey, Total)> {
        let updated_at = instant(self.updated_at).ok_or_else(|| corrupt("totals.updated_at"))?;
        let key = TotalKey {
            period: period_of(&self.period).ok_or_else(|| corrupt("totals.period"))?,
            org_id: OrgId(self.org_id),
            app_id: app_of_key(&self.app_id).ok_or_else(|| corrupt("totals.app_id"))?,
            model_label: self.model_label.parse().map_err(|_| corrupt("totals.model_label"))?,
        };
        let counters: Counters = self.counters.try_into()?;
        Ok((key, Total { counters, updated_at }))
    }
}

/// Keys of totals.
#[derive(Debug, Default)]
struct KeyColumns<'a> {
    org_ids: Vec<Uuid>,
    periods: Vec<String>,
    app_ids: Vec<&'a str>,
    model_labels: Vec<&'a str>,
}

impl<'a> KeyColumns<'a> {
    fn of(keys: impl IntoIterator<Item = &'a TotalKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.org_ids.push(key.org_id.0);
            columns.periods.push(period_text(key.period));
            columns.app_ids.push(app_key(key.app_id.as_ref()));
            columns.model_labels.push(key.model_label.as_str());
        }
        columns
    }

    fn bind<O>(self, query: QueryAs<'a, Postgres, O, PgArguments>) -> QueryAs<'a, Postgres, O, PgArguments> {
        query.bind(self.org_ids).bind(self.periods).bind(self.app_ids).bind(self.model_labels)
    }

    fn bind_plain(self, query: Query<'a, Postgres, PgArguments>) -> Query<'a, Postgres, PgArguments> {
        query.bind(self.org_ids).bind(self.periods).bind(self.app_ids).bind(self.model_labels)
    }
}

macro_rules! key_arrays {
    () => {
        "unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS k (org_id, period, app_id, model_label)"
    };
}

const READ: &str = concat!(
    "SELECT ",
    total_columns!("t."),
    " FROM ",
    key_arrays!(),
    " JOIN totals t USING (org_id, period, app_id, model_label)"
);

/// Locks are taken in the order of the rows: after sorting.
const LOCK: &str = concat!(
    "SELECT ",
    total_columns!("t."),
    " FROM ",
    key_arrays!(),
    " JOIN totals t USING (org_id, period, app_id, model_label) \
     ORDER BY t.org_id, t.period, t.app_id, t.model_label FOR UPDATE OF t"
);

/// Locks what there is and reserves what there is not, in one pass in the order of the key. A reserved row is all zero;
/// its impossible instant tells it from others, as nobody else can see it yet.
const RESERVE: &str = concat!(
    "INSERT INTO totals AS t (org_id, period, app_id, model_label, ",
    counter_columns!(),
    ") SELECT org_id, period, app_id, model_label, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -9223372036854775808 FROM ",
    key_arrays!(),
    " ORDER BY org_id, period COLLATE \"C\", app_id COLLATE \"C\", model_label COLLATE \"C\" \
     ON CONFLICT (org_id, period, app_id, model_label) DO UPDATE SET updated_at = t.updated_at RETURNING ",
    total_columns!("t.")
);
const RESERVED: i64 = i64::MIN;

const RELEASE: &str = concat!(
    "DELETE FROM totals t USING ",
    key_arrays!(),
    " WHERE t.org_id = k.org_id AND t.period = k.period AND t.app_id = k.app_id AND t.model_label = k.model_label"
);

const WRITE: &str = "UPDATE totals t SET cost_micros = v.cost_micros, cost_residue = v.cost_residue, \
     drift_micros = v.drift_micros, drift_residue = v.drift_residue, requests = v.requests, errors = v.errors, \
     unpriced_requests = v.unpriced_requests, input_tokens = v.input_tokens, output_tokens = v.output_tokens, \
     cache_read_input_tokens = v.cache_read_input_tokens, cache_write_input_tokens = v.cache_write_input_tokens, \
     updated_at = v.updated_at FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], \
     $14::bigint[], $15::bigint[], $16::bigint[]) AS v (org_id, period, app_id, model_label, cost_micros, cost_residue, \
     drift_micros, drift_residue, requests, errors, unpriced_requests, input_tokens, output_tokens, \
     cache_read_input_tokens, cache_write_input_tokens, updated_at) \
     WHERE t.org_id = v.org_id AND t.period = v.period AND t.app_id = v.app_id AND t.model_label = v.model_label";

/// The totals of these keys that there are.
pub(super) async fn read_totals(session: &mut Session, keys: &BTreeSet<TotalKey>) -> Result<Totals, Failure> {
    select(READ, session, keys).await
}

/// The totals of these keys that there are. Nobody else changes them before this transaction ends.
pub(super) async fn lock_totals(session: &mut Session, keys: &BTreeSet<TotalKey>) -> Result<Totals, Failure> {
    select(LOCK, session, keys).await
}

async fn select(sql: &'static str, session: &mut Session, keys: &BTreeSet<TotalKey>) -> Result<Totals, Failure> {
    let rows: Vec<TotalRow> = KeyColumns::of(keys).bind(session.query_as(sql)).fetch_all(&mut **session).await?;
    Ok(rows.into_iter().map(TotalRow::total).collect::<Result<_>>()?)
}

/// The totals of these keys that there are. Nobody else changes them before this transaction ends, nor adds those that
/// are missing: they are reserved.
pub(super) async fn reserve_totals(
    session: &mut Session,
    keys: &BTreeSet<TotalKey>,
) -> Result<(Totals, Reserved), Failure> {
    let rows: Vec<TotalRow> = KeyColumns::of(keys).bind(session.query_as(RESERVE)).fetch_all(&mut **session).await?;
    let present = rows.into_iter().filter(|row| row.updated_at != RESERVED);
    let totals: Totals = present.map(TotalRow::total).collect::<Result<_>>()?;
    let reserved = keys.iter().filter(|key| !totals.contains_key(*key)).cloned().collect();
    Ok((totals, Reserved(reserved)))
}

/// Keys whose rows exist only in this transaction yet.
#[derive(Debug)]
pub(super) struct Reserved(BTreeSet<TotalKey>);

impl Reserved {
    /// Writes what changed and lets go of what was reserved for nothing.
    pub(super) async fn finish(self, session: &mut Session, changed: &ChangedTotals) -> sqlx::Result<()> {
        let unused: Vec<&TotalKey> = self.0.iter().filter(|key| !changed.contains_key(*key)).collect();
        if !unused.is_empty() {
            KeyColumns::of(unused).bind_plain(session.query(RELEASE)).execute(&mut **session).await?;
        }
        write_totals(session, changed).await
    }
}

/// Gives totals new values. They exist and are locked.
pub(super) async fn write_totals(session: &mut Session, changed: &ChangedTotals) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut counters: [Vec<i64>; 11] = Default::default();
    let mut updated_at = Vec::with_capacity(changed.len());
    for (columns, instant) in changed.values() {
        for (column, value) in counters.iter_mut().zip(columns.0) {
            column.push(value);
        }
        updated_at.push(millis(*instant));
    }
    let mut query = KeyColumns::of(changed.keys()).bind_plain(session.query(WRITE));
    for column in counters {
        query = query.bind(column);
    }
    query.bind(updated_at).execute(&mut **session).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_period_survives_its_column_and_tells_a_day_from_a_month() {
        let day: crate::domain::calendar::Day = "2026-01-23".parse().unwrap();
        for period in [Period::Day(day), Period::Month(day.month())] {
            assert_eq!(period_of(&period_text(period)), Some(period));
        }
        for bad in ["", "2026", "2026-1-2", "2026-13"] {
            assert_eq!(period_of(bad), None, "{bad}");
        }
    }
}
