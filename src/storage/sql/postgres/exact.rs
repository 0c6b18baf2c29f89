//! Recording usage record by record, where adding it all up in one statement fails: some counter is full, or a number
//! fits no column. The others must not suffer.
//!
//! One transaction: dedup keys are inserted, totals locked, both in the order of every other writer; then all is decided
//! in memory by [`Posting`], exactly, and written. What is refused in the end was only a placeholder for its key and is
//! taken out again, so that nobody ever sees it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use super::attempts::Failure;
use super::record_columns::{RecordColumns, RecordKeyColumns, input_records, out_of_range};
use super::recording::{forgotten, read_stored};
use super::session::Session;
use super::total_rows::reserve_totals;
use crate::domain::ids::{OrgId, RequestId};
use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::contract::{RecordOutcome, Result};
use crate::storage::sql::error::corrupt;
use crate::storage::sql::posting::{Posting, totals_to_read};
use crate::storage::sql::rows::usage_columns;

const INSERT: &str = concat!(
    "WITH input AS (",
    input_records!(),
    ") INSERT INTO usage_records (",
    usage_columns!(),
    ") SELECT ",
    usage_columns!(),
    " FROM input ORDER BY n ON CONFLICT (org_id, app_id, request_id) DO NOTHING RETURNING request_id, org_id, app_id"
);

const DELETE: &str = "DELETE FROM usage_records u \
     USING unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (org_id, app_id, request_id) \
     WHERE u.org_id = k.org_id AND u.app_id = k.app_id AND u.request_id = k.request_id";

/// Records what fits.
pub(super) async fn record(mut session: Session, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>, Failure> {
    let placeholders = placeholders(records);
    let placed = insert(&mut session, placeholders.values().copied()).await?;
    let keys: BTreeSet<UsageKey> = records.iter().map(UsageRecord::key).collect();
    let stored = read_stored(&mut session, keys.difference(&placed)).await?;
    if placeholders.keys().any(|key| !placed.contains(key) && !stored.contains_key(key)) {
        return session.refuse(forgotten()).await;
    }
    let (totals, reserved) = reserve_totals(&mut session, &totals_to_read(records, &stored)).await?;
    let posting = Posting::plan(records, &stored, totals);
    settle(&mut session, &placeholders, &placed, &posting.accepted).await?;
    reserved.finish(&mut session, &posting.changed).await?;
    session.commit(posting.outcomes).await
}

/// The first record of each key that fits its columns. No other has a chance.
fn placeholders(records: &[UsageRecord]) -> BTreeMap<UsageKey, &UsageRecord> {
    let mut placeholders = BTreeMap::new();
    for record in records.iter().filter(|record| RecordColumns::of([*record]).is_some()) {
        placeholders.entry(record.key()).or_insert(record);
    }
    placeholders
}

/// Inserts records, which come in the order of their keys, and answers which keys were new.
async fn insert<'a>(
    session: &mut Session,
    records: impl IntoIterator<Item = &'a UsageRecord>,
) -> Result<BTreeSet<UsageKey>, Failure> {
    let columns = RecordColumns::of(records).ok_or_else(out_of_range)?;
    let rows = columns.bind(session.query(INSERT)).fetch_all(&mut **session).await?;
    rows.iter()
        .map(|row| {
            let app_id: &str = row.try_get("app_id")?;
            Ok(UsageKey {
                org_id: OrgId(row.try_get("org_id")?),
                app_id: app_id.parse().map_err(|_| corrupt("usage_records.app_id"))?,
                request_id: RequestId(row.try_get("request_id")?),
            })
        })
        .collect()
}

/// Makes the table hold exactly the accepted records of those that were placed: a placeholder goes that was refused, also
/// where a later record of the call with the same key takes its place. Their keys stay ours until the commit.
async fn settle(
    session: &mut Session,
    placeholders: &BTreeMap<UsageKey, &UsageRecord>,
    placed: &BTreeSet<UsageKey>,
    accepted: &[&UsageRecord],
) -> Result<(), Failure> {
    let accepted: BTreeMap<UsageKey, &UsageRecord> = accepted.iter().map(|record| (record.key(), *record)).collect();
    let in_place = |key: &UsageKey| match (accepted.get(key), placeholders.get(key)) {
        (Some(accepted), Some(placeholder)) => std::ptr::eq(*accepted, *placeholder),
        _ => false,
    };
    let refused: Vec<&UsageKey> = placed.iter().filter(|key| !in_place(key)).collect();
    if !refused.is_empty() {
        RecordKeyColumns::of(refused).bind_plain(session.query(DELETE)).execute(&mut **session).await?;
    }
    let missing: Vec<&UsageRecord> =
        accepted.iter().filter(|(key, _)| !in_place(key)).map(|(_, record)| *record).collect();
    if !missing.is_empty() {
        insert(session, missing).await?;
    }
    Ok(())
}
