//! Reading totals. Each query is one statement, so what it yields is consistent with itself.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection};

use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals};
use crate::storage::contract::{Breakdown, DailyTotal, DailyTotalKey, Result};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{app_key, app_of_key, instant};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::rows::{CounterRow, counter_columns};

#[derive(FromRow)]
struct PeriodRow {
    is_day: bool,
    app_id: String,
    model_label: String,
    #[sqlx(flatten)]
    counters: CounterRow,
    updated_at: i64,
}

/// Day and month totals of every label with usage in the month, and when any of them last changed.
pub(super) async fn scope_totals(
    connection: &mut SqliteConnection,
    scope: &Scope,
    day: Day,
) -> Result<(BTreeMap<ModelLabel, SpendTotals>, Option<Timestamp>)> {
    let rows: Vec<PeriodRow> = sqlx::query_as(concat!(
        "SELECT 0 AS is_day, app_id, model_label, ",
        counter_columns!(),
        " FROM monthly_totals WHERE org_id = ?1 AND month = ?2 AND app_id = ?4 UNION ALL \
         SELECT 1, app_id, model_label, ",
        counter_columns!(),
        " FROM daily_totals WHERE org_id = ?1 AND day = ?3 AND app_id = ?4"
    ))
    .bind(scope.org_id.0)
    .bind(day.month().to_string())
    .bind(day.to_string())
    .bind(app_key(scope.app_id.as_ref()))
    .fetch_all(connection)
    .await?;
    let updated_at = rows.iter().map(|row| row.updated_at).max();
    let updated_at =
        updated_at.map(|millis| instant(millis).ok_or_else(|| corrupt("totals.updated_at"))).transpose()?;
    let mut totals: BTreeMap<ModelLabel, SpendTotals> = BTreeMap::new();
    for row in rows {
        let label = row.model_label.parse().map_err(|_| corrupt("totals.model_label"))?;
        put(totals.entry(label).or_default(), row.is_day, row.counters)?;
    }
    Ok((totals, updated_at))
}

/// Application and organization totals of one label.
pub(super) async fn label_totals(
    connection: &mut SqliteConnection,
    org_id: OrgId,
    app_id: &AppId,
    label: &ModelLabel,
    day: Day,
) -> Result<LabelTotals> {
    let rows: Vec<PeriodRow> = sqlx::query_as(concat!(
        "SELECT 0 AS is_day, app_id, model_label, ",
        counter_columns!(),
        " FROM monthly_totals WHERE org_id = ?1 AND month = ?2 AND app_id IN ('', ?4) AND model_label = ?5 UNION ALL \
         SELECT 1, app_id, model_label, ",
        counter_columns!(),
        " FROM daily_totals WHERE org_id = ?1 AND day = ?3 AND app_id IN ('', ?4) AND model_label = ?5"
    ))
    .bind(org_id.0)
    .bind(day.month().to_string())
    .bind(day.to_string())
    .bind(app_id.as_str())
    .bind(label.as_str())
    .fetch_all(connection)
    .await?;
    let mut totals = LabelTotals::default();
    for row in rows {
        let scope = if row.app_id.is_empty() { &mut totals.org } else { &mut totals.app };
        put(scope, row.is_day, row.counters)?;
    }
    Ok(totals)
}

fn put(totals: &mut SpendTotals, is_day: bool, counters: CounterRow) -> Result<()> {
    let period = if is_day { &mut totals.day } else { &mut totals.month };
    *period = counters.try_into()?;
    Ok(())
}

#[derive(FromRow)]
struct DailyRow {
    day: String,
    app_id: String,
    model_label: String,
    #[sqlx(flatten)]
    counters: CounterRow,
    updated_at: i64,
}

impl TryFrom<DailyRow> for DailyTotal {
    type Error = StorageError;

    fn try_from(row: DailyRow) -> Result<Self> {
        Ok(Self {
            day: row.day.parse().map_err(|_| corrupt("daily_totals.day"))?,
            app_id: app_of_key(&row.app_id).ok_or_else(|| corrupt("daily_totals.app_id"))?,
            model_label: row.model_label.parse().map_err(|_| corrupt("daily_totals.model_label"))?,
            counters: row.counters.try_into()?,
            updated_at: instant(row.updated_at).ok_or_else(|| corrupt("daily_totals.updated_at"))?,
        })
    }
}

/// Every application's totals lie next to each other: a range of the primary key.
pub(super) const EVERY_APP: &str = concat!(
    "SELECT day, app_id, model_label, ",
    counter_columns!(),
    " FROM daily_totals WHERE org_id = ?1 AND day BETWEEN ?2 AND ?3 AND app_id <> '' \
     AND (day, app_id, model_label) > (?4, ?5, ?6) ORDER BY day, app_id, model_label LIMIT ?7"
);

/// One scope's totals lie apart, with those of the other applications between them. Stepping from day to day with one
/// look each keeps the cost independent of how many applications there are.
pub(super) const ONE_SCOPE: &str = concat!(
    "WITH RECURSIVE days (day) AS ( \
       SELECT (SELECT day FROM daily_totals WHERE org_id = ?1 AND day >= ?2 ORDER BY day LIMIT 1) \
       UNION ALL \
       SELECT (SELECT t.day FROM daily_totals t WHERE t.org_id = ?1 AND t.day > days.day ORDER BY t.day LIMIT 1) \
       FROM days WHERE days.day < ?3 \
     ) SELECT t.day, app_id, model_label, ",
    counter_columns!(),
    " FROM days CROSS JOIN daily_totals t \
     WHERE days.day <= ?3 AND t.org_id = ?1 AND t.day = days.day AND t.app_id = ?8 \
     AND (t.day, app_id, model_label) > (?4, ?5, ?6) ORDER BY t.day, app_id, model_label LIMIT ?7"
);

/// A page of daily totals.
pub(super) async fn daily_totals(
    connection: &mut SqliteConnection,
    org_id: OrgId,
    breakdown: Breakdown<'_>,
    days: RangeInclusive<Day>,
    after: Option<&DailyTotalKey>,
    limit: u32,
) -> Result<Vec<DailyTotal>> {
    let (sql, app) = match breakdown {
        Breakdown::EveryApp => (EVERY_APP, None),
        Breakdown::Org => (ONE_SCOPE, Some("")),
        Breakdown::App(app_id) => (ONE_SCOPE, Some(app_id.as_str())),
    };
    // Earlier days need no look at all.
    let from = after.map_or(*days.start(), |key| key.day.max(*days.start()));
    let rows: Vec<DailyRow> = sqlx::query_as(sql)
        .bind(org_id.0)
        .bind(from.to_string())
        .bind(days.end().to_string())
        // Every key is greater than the empty one.
        .bind(after.map(|key| key.day.to_string()).unwrap_or_default())
        .bind(app_key(after.and_then(|key| key.app_id.as_ref())))
        .bind(after.map_or("", |key| key.model_label.as_str()))
        .bind(limit)
        .bind(app)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(DailyTotal::try_from).collect()
}
