//! Reading totals. Each query is one statement, so what it yields is consistent with itself.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::PostgresStorage;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals};
use crate::storage::contract::{Breakdown, DailyTotal, DailyTotalKey, Result};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::{app_key, app_of_key, instant};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::rows::{CounterRow, counter_columns};

/// One total of a day or its month.
#[derive(FromRow)]
pub(super) struct PeriodRow {
    pub(super) period: String,
    pub(super) app_id: String,
    pub(super) model_label: String,
    #[sqlx(flatten)]
    pub(super) counters: CounterRow,
    pub(super) updated_at: i64,
}

impl PeriodRow {
    /// A row whose label is in another column.
    pub(super) fn labelled(column: &str, row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            period: row.try_get("period")?,
            app_id: row.try_get("app_id")?,
            model_label: row.try_get(column)?,
            counters: CounterRow::from_row(row)?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

const SCOPE: &str = concat!(
    "SELECT period, app_id, model_label, ",
    counter_columns!(),
    " FROM totals WHERE org_id = $1 AND period IN ($2, $3) AND app_id = $4"
);

const LABEL: &str = concat!(
    "SELECT period, app_id, model_label, ",
    counter_columns!(),
    " FROM totals WHERE org_id = $1 AND period IN ($2, $3) AND app_id IN ('', $4) AND model_label = $5"
);

/// Day and month totals of every label with usage in the month.
pub(super) async fn scope_totals(
    storage: &PostgresStorage,
    scope: &Scope,
    day: Day,
) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
    let rows: Vec<PeriodRow> = storage
        .statement(|mut session| async move {
            let query = session
                .query_as(SCOPE)
                .bind(scope.org_id.0)
                .bind(day.to_string())
                .bind(day.month().to_string())
                .bind(app_key(scope.app_id.as_ref()));
            let rows = query.fetch_all(&mut *session).await?;
            session.commit(rows).await
        })
        .await?;
    by_label(rows, day)
}

/// Rows of one scope as what it spent by label.
pub(super) fn by_label(rows: Vec<PeriodRow>, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
    let mut totals: BTreeMap<ModelLabel, SpendTotals> = BTreeMap::new();
    for row in rows {
        let label = row.model_label.parse().map_err(|_| corrupt("totals.model_label"))?;
        put(totals.entry(label).or_default(), row, day)?;
    }
    Ok(totals)
}

/// Application and organization totals of one label.
pub(super) async fn label_totals(
    storage: &PostgresStorage,
    org_id: OrgId,
    app_id: &AppId,
    label: &ModelLabel,
    day: Day,
) -> Result<LabelTotals> {
    let rows: Vec<PeriodRow> = storage
        .statement(|mut session| async move {
            let query = session
                .query_as(LABEL)
                .bind(org_id.0)
                .bind(day.to_string())
                .bind(day.month().to_string())
                .bind(app_id.as_str())
                .bind(label.as_str());
            let rows = query.fetch_all(&mut *session).await?;
            session.commit(rows).await
        })
        .await?;
    let mut totals = LabelTotals::default();
    for row in rows {
        let scope = if row.app_id.is_empty() { &mut totals.org } else { &mut totals.app };
        put(scope, row, day)?;
    }
    Ok(totals)
}

fn put(totals: &mut SpendTotals, row: PeriodRow, day: Day) -> Result<()> {
    let period = if row.period == day.to_string() { &mut totals.day } else { &mut totals.month };
    *period = row.counters.try_into()?;
    Ok(())
}

#[derive(FromRow)]
struct DailyRow {
    period: String,
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
            day: row.period.parse().map_err(|_| corrupt("totals.period"))?,
            app_id: app_of_key(&row.app_id).ok_or_else(|| corrupt("totals.app_id"))?,
            model_label: row.model_label.parse().map_err(|_| corrupt("totals.model_label"))?,
            counters: row.counters.try_into()?,
            updated_at: instant(row.updated_at).ok_or_else(|| corrupt("totals.updated_at"))?,
        })
    }
}

/// Every application's totals lie next to each other, with those of a month before its first day: a range of the primary
/// key.
const EVERY_APP: &str = concat!(
    "SELECT period, app_id, model_label, ",
    counter_columns!(),
    " FROM totals WHERE org_id = $1 AND period BETWEEN $2 AND $3 AND length(period) = 10 AND app_id <> '' \
     AND (period, app_id, model_label) > ($4, $5, $6) ORDER BY period, app_id, model_label LIMIT $7"
);

/// One scope's totals lie apart, with those of the other applications between them. Stepping from period to period with
/// one look each keeps the cost independent of how many applications there are.
const ONE_SCOPE: &str = concat!(
    "WITH RECURSIVE periods (period) AS ( \
       (SELECT period FROM totals WHERE org_id = $1 AND period >= $2 ORDER BY period LIMIT 1) \
       UNION ALL \
       SELECT (SELECT t.period FROM totals t WHERE t.org_id = $1 AND t.period > periods.period ORDER BY t.period LIMIT 1) \
       FROM periods WHERE periods.period < $3 \
     ) SELECT t.period, app_id, model_label, ",
    counter_columns!(),
    " FROM periods CROSS JOIN LATERAL ( \
       SELECT * FROM totals t WHERE t.org_id = $1 AND t.period = periods.period AND t.app_id = $8 \
     ) AS t WHERE periods.period <= $3 AND length(periods.period) = 10 \
     AND (t.period, app_id, model_label) > ($4, $5, $6) ORDER BY t.period, app_id, model_label LIMIT $7"
);

/// A page of daily totals.
pub(super) async fn daily_totals(
    storage: &PostgresStorage,
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
    let until = *days.end();
    let rows: Vec<DailyRow> = storage
        .statement(|mut session| async move {
            let query = session
                .query_as(sql)
                .bind(org_id.0)
                .bind(from.to_string())
                .bind(until.to_string())
                // Every key is greater than the empty one.
                .bind(after.map(|key| key.day.to_string()).unwrap_or_default())
                .bind(app_key(after.and_then(|key| key.app_id.as_ref())))
                .bind(after.map_or("", |key| key.model_label.as_str()))
                .bind(i64::from(limit));
            let query = match app {
                Some(app) => query.bind(app),
                None => query,
            };
            let rows = query.fetch_all(&mut *session).await?;
            session.commit(rows).await
        })
        .await?;
    rows.into_iter().map(DailyTotal::try_from).collect()
}
