//! Correcting recorded usage: one transaction per call.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::PostgresStorage;
use super::attempts::{Failure, Repeat};
use super::record_columns::{FigureColumns, RecordKeyColumns};
use super::recording::stored_by_key;
use super::session::Session;
use super::total_rows::{lock_totals, write_totals};
use crate::domain::ids::AppId;
use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::contract::{Reprice, RepriceFilter, RepriceOutcome, RepricePosition, Repricing, Result};
use crate::storage::sql::repricing::{Correction, totals_to_read};
use crate::storage::sql::rows::{UsageRow, usage_columns};

/// One organization's repriceable records: a range of the partial index.
const ONE_ORG: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM usage_records WHERE pricing_status <> 'PRICED' AND org_id = $1 \
     AND (day, app_id, request_id) > ($2, $3, $4) AND day <= $5 AND ($6 IS NULL OR app_id = $6) \
     ORDER BY org_id, day, app_id, request_id LIMIT $7"
);

/// Everybody's: the partial index from the position on.
const EVERY_ORG: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM usage_records WHERE pricing_status <> 'PRICED' \
     AND (org_id, day, app_id, request_id) > ($1, $2, $3, $4) AND day >= $8 AND day <= $5 \
     AND ($6 IS NULL OR app_id = $6) \
     ORDER BY org_id, day, app_id, request_id LIMIT $7"
);

/// Locks are taken in the order of the rows: after sorting.
const LOCK: &str = concat!(
    "SELECT ",
    usage_columns!(),
    " FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (org_id, app_id, request_id) \
     JOIN usage_records u USING (org_id, app_id, request_id) \
     ORDER BY u.org_id, u.app_id, u.request_id FOR UPDATE OF u"
);

const CORRECT: &str = "UPDATE usage_records u SET cost_micros = v.cost_micros, cost_residue = v.cost_residue, \
     server_cost_micros = v.server_cost_micros, server_cost_residue = v.server_cost_residue, \
     pricing_status = v.pricing_status, price_source = v.price_source, price_version = v.price_version, \
     model_id = v.model_id FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[]) AS v (org_id, app_id, request_id, cost_micros, \
     cost_residue, server_cost_micros, server_cost_residue, pricing_status, price_source, price_version, model_id) \
     WHERE u.org_id = v.org_id AND u.app_id = v.app_id AND u.request_id = v.request_id";

/// Later than every day in the order of texts.
const END_OF_DAYS: &str = "9999-99-99";

#[async_trait]
impl Repricing for PostgresStorage {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        let Some(start) = &Start::of(filter, after) else { return Ok(Vec::new()) };
        let rows: Vec<UsageRow> = self
            .statement(|mut session| async move {
                let only_app = filter.scope.as_ref().and_then(|scope| scope.app_id.as_ref());
                let query = session
                    .query_as(if filter.scope.is_some() { ONE_ORG } else { EVERY_ORG })
                    .bind(start.org_id)
                    .bind(&start.day)
                    .bind(start.app_id)
                    .bind(start.request_id)
                    .bind(filter.to.map_or_else(|| END_OF_DAYS.to_owned(), |day| day.to_string()))
                    .bind(only_app.map(AppId::as_str))
                    .bind(i64::from(limit));
                let query = if filter.scope.is_some() { query } else { query.bind(first_day(filter)) };
                let rows = query.fetch_all(&mut *session).await?;
                session.commit(rows).await
            })
            .await?;
        rows.into_iter().map(UsageRecord::try_from).collect()
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        if reprices.is_empty() {
            return Ok(Vec::new());
        }
        let keys: &BTreeSet<_> = &reprices.iter().map(|reprice| &reprice.key).collect();
        self.transaction(Repeat::Freely, |mut session| async move {
            // Locks come first, as when recording: what is read stays true until the commit.
            let stored = lock_stored(&mut session, keys).await?;
            let totals = lock_totals(&mut session, &totals_to_read(&stored)).await?;
            let correction = Correction::plan(reprices, stored, totals, repriced_at);
            if !correction.corrected.is_empty() {
                let query = FigureColumns::of(&correction.corrected).bind(session.query(CORRECT));
                query.execute(&mut *session).await?;
            }
            write_totals(&mut session, &correction.changed).await?;
            session.commit(correction.outcomes).await
        })
        .await
    }
}

/// The stored records of these keys. Nobody else changes them before this transaction ends.
async fn lock_stored(
    session: &mut Session,
    keys: &BTreeSet<&UsageKey>,
) -> Result<HashMap<UsageKey, UsageRecord>, Failure> {
    let query = RecordKeyColumns::of(keys.iter().copied()).bind(session.query_as(LOCK));
    stored_by_key(query.fetch_all(&mut **session).await?)
}

/// The first day a filter admits; every day is later than the empty text.
fn first_day(filter: &RepriceFilter) -> String {
    filter.from.map(|day| day.to_string()).unwrap_or_default()
}

/// Where a page starts, as column values: after this. Every record of an organization stands after an empty day.
struct Start<'a> {
    org_id: Uuid,
    day: String,
    app_id: &'a str,
    request_id: Uuid,
}

impl<'a> Start<'a> {
    /// `None` where nothing can follow.
    fn of(filter: &RepriceFilter, after: Option<&'a RepricePosition>) -> Option<Self> {
        let beginning = |org_id, day| Self { org_id, day, app_id: "", request_id: Uuid::nil() };
        let Some(scope) = &filter.scope else {
            return Some(after.map_or_else(|| beginning(Uuid::nil(), String::new()), Self::at));
        };
        let org_id = scope.org_id;
        if after.is_some_and(|after| after.org_id > org_id) {
            return None;
        }
        // A position before the first admitted record is none.
        let after = after.filter(|after| after.org_id == org_id && filter.from.is_none_or(|from| after.day >= from));
        Some(after.map_or_else(|| beginning(org_id.0, first_day(filter)), Self::at))
    }

    fn at(position: &'a RepricePosition) -> Self {
        Self {
            org_id: position.org_id.0,
            day: position.day.to_string(),
            app_id: position.app_id.as_str(),
            request_id: position.request_id.0,
        }
    }
}
