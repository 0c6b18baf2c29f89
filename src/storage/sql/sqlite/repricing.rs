//! Correcting recorded usage: one transaction per call.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::SqliteStorage;
use super::ledger::{read_stored, read_totals, write_totals};
use crate::domain::ids::AppId;
use crate::domain::usage::UsageRecord;
use crate::storage::contract::{Reprice, RepriceFilter, RepriceOutcome, RepricePosition, Repricing, Result};
use crate::storage::sql::columns::{self, RecordAmounts};
use crate::storage::sql::repricing::{Correction, totals_to_read};
use crate::storage::sql::rows::{UsageRow, usage_columns};

/// One organization's repriceable records: a range of the partial index.
pub(super) const ONE_ORG: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM usage_records WHERE pricing_status <> 'PRICED' AND org_id = ?1 \
     AND (day, app_id, request_id) > (?2, ?3, ?4) AND day <= ?5 AND (?6 IS NULL OR app_id = ?6) \
     ORDER BY org_id, day, app_id, request_id LIMIT ?7"
);

/// Everybody's: the partial index from the position on.
pub(super) const EVERY_ORG: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM usage_records WHERE pricing_status <> 'PRICED' \
     AND (org_id, day, app_id, request_id) > (?1, ?2, ?3, ?4) AND day >= ?8 AND day <= ?5 \
     AND (?6 IS NULL OR app_id = ?6) \
     ORDER BY org_id, day, app_id, request_id LIMIT ?7"
);

const CORRECT: &str = "UPDATE usage_records SET cost_micros = ?4, cost_residue = ?5, server_cost_micros = ?6, \
     server_cost_residue = ?7, pricing_status = ?8, price_source = ?9, price_version = ?10, model_id = ?11 \
     WHERE org_id = ?1 AND app_id = ?2 AND request_id = ?3";

/// Later than every day in the order of texts.
const END_OF_DAYS: &str = "9999-99-99";

#[async_trait]
impl Repricing for SqliteStorage {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        let Some(start) = Start::of(filter, after) else { return Ok(Vec::new()) };
        let only_app = filter.scope.as_ref().and_then(|scope| scope.app_id.as_ref());
        let rows: Vec<UsageRow> = sqlx::query_as(if filter.scope.is_some() { ONE_ORG } else { EVERY_ORG })
            .bind(start.org_id)
            .bind(start.day)
            .bind(start.app_id)
            .bind(start.request_id)
            .bind(filter.to.map_or_else(|| END_OF_DAYS.to_owned(), |day| day.to_string()))
            .bind(only_app.map(AppId::as_str))
            .bind(limit)
            .bind(first_day(filter))
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(UsageRecord::try_from).collect()
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        if reprices.is_empty() {
            return Ok(Vec::new());
        }
        // The lock comes first, as when recording: what is read stays true until the commit.
        let mut transaction = self.write().await?;
        let keys: Vec<_> = reprices.iter().map(|reprice| reprice.key.clone()).collect();
        let stored = read_stored(&mut transaction, &keys).await?;
        let totals = read_totals(&mut transaction, &totals_to_read(&stored)).await?;
        let correction = Correction::plan(reprices, stored, totals, repriced_at);
        for (record, amounts) in &correction.corrected {
            update(&mut transaction, record, amounts).await?;
        }
        write_totals(&mut transaction, &correction.changed).await?;
        transaction.commit().await?;
        Ok(correction.outcomes)
    }
}

/// The first day a filter admits; every day is later than the empty text.
fn first_day(filter: &RepriceFilter) -> String {
    filter.from.map(|day| day.to_string()).unwrap_or_default()
}

/// Where a page starts, as column values: after this. Every record stands after empty texts and ids.
struct Start<'a> {
    org_id: Vec<u8>,
    day: String,
    app_id: &'a str,
    request_id: Vec<u8>,
}

impl<'a> Start<'a> {
    /// `None` where nothing can follow.
    fn of(filter: &RepriceFilter, after: Option<&'a RepricePosition>) -> Option<Self> {
        let Some(scope) = &filter.scope else {
            let beginning = Self { org_id: Vec::new(), day: String::new(), app_id: "", request_id: Vec::new() };
            return Some(after.map_or(beginning, Self::at));
        };
        let org_id = scope.org_id;
        if after.is_some_and(|after| after.org_id > org_id) {
            return None;
        }
        // A position before the first admitted record is none.
        let after = after.filter(|after| after.org_id == org_id && filter.from.is_none_or(|from| after.day >= from));
        let org_id = org_id.0.as_bytes().to_vec();
        let beginning = Self { org_id, day: first_day(filter), app_id: "", request_id: Vec::new() };
        Some(after.map_or(beginning, Self::at))
    }

    fn at(position: &'a RepricePosition) -> Self {
        Self {
            org_id: position.org_id.0.as_bytes().to_vec(),
            day: position.day.to_string(),
            app_id: position.app_id.as_str(),
            request_id: position.request_id.0.as_bytes().to_vec(),
        }
    }
}

async fn update(connection: &mut SqliteConnection, record: &UsageRecord, amounts: &RecordAmounts) -> Result<()> {
    sqlx::query(CORRECT)
        .bind(record.org_id.0)
        .bind(record.app_id.as_str())
        .bind(record.request_id.0)
        .bind(amounts.cost.0)
        .bind(amounts.cost.1)
        .bind(amounts.server_cost.map(|(micros, _)| micros))
        .bind(amounts.server_cost.map(|(_, residue)| residue))
        .bind(columns::pricing_status_text(record.pricing.status))
        .bind(record.pricing.source.map(columns::price_source_text))
        .bind(record.pricing.version.as_deref())
        .bind(record.pricing.model_id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
