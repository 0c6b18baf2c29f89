//! Recording usage and reading what was recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::attempts::{Limits, Repeat};
use super::record_columns::RecordColumns;
use super::recording::{self, Recorded, outcomes, read_stored, repeated};
use super::session::Mode;
use super::total_rows::{Totals, read_totals};
use super::{PostgresStorage, exact, totals};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, RequestId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageKey, UsageRecord};
use crate::storage::contract::{
    Breakdown, DailyTotal, DailyTotalKey, IngestLimits, RecordOutcome, Result, UsageLedger,
};
use crate::storage::sql::posting::RecordKeys;
use crate::storage::sql::rows::{UsageRow, usage_columns};

/// Most records of one call. They amortize a round trip and a commit well, and add up to a few hundred kilobytes.
const MAX_BATCH: usize = 512;
/// Most calls of one instance at once. Calls for one organization wait for each other's totals anyway, and reads need
/// connections too.
const MAX_CONCURRENCY: u32 = 4;

const USAGE: &str =
    concat!("SELECT ", usage_columns!(), " FROM usage_records WHERE org_id = $1 AND app_id = $2 AND request_id = $3");

#[async_trait]
impl UsageLedger for PostgresStorage {
    fn ingest_limits(&self) -> IngestLimits {
        let concurrency = (self.options.max_connections / 2).clamp(1, MAX_CONCURRENCY);
        IngestLimits { max_batch: MAX_BATCH, concurrency: concurrency as usize }
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // One deadline for all steps: somebody waits for the whole.
        let limits = self.prompt();
        let distinct = recording::distinct(records);
        // An attempt whose answer was lost may have committed. Then the next one finds its records as duplicates.
        let accepted = match self.record_at_once(&distinct, limits).await? {
            Recorded::Committed(accepted) => accepted,
            Recorded::Overflow => {
                let work = |session| exact::record(session, records);
                return self.run(Mode::Transaction, Repeat::Freely, limits, work).await;
            }
        };
        let repeated = repeated(&distinct, &accepted);
        let (stored, totals) = self.stored_with_totals(&repeated, limits).await?;
        outcomes(records, &distinct, accepted, &stored, totals)
    }

    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>> {
        let row: Option<UsageRow> = self
            .statement(|mut session| async move {
                let query = session.query_as(USAGE).bind(org_id.0).bind(app_id.as_str()).bind(request_id.0);
                let row = query.fetch_optional(&mut *session).await?;
                session.commit(row).await
            })
            .await?;
        row.map(UsageRecord::try_from).transpose()
    }

    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
        totals::scope_totals(self, scope, day).await
    }

    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals> {
        totals::label_totals(self, org_id, app_id, label, day).await
    }

    async fn daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>> {
        totals::daily_totals(self, org_id, breakdown, days, after, limit).await
    }
}

impl PostgresStorage {
    /// Records what is new in one statement.
    async fn record_at_once(&self, distinct: &[(UsageKey, &UsageRecord)], limits: Limits) -> Result<Recorded> {
        let columns = || RecordColumns::of(distinct.iter().map(|(_, record)| *record));
        if columns().is_none() {
            return Ok(Recorded::Overflow);
        }
        self.run(Mode::Statement, Repeat::Freely, limits, |session| {
            // It was some a moment ago.
            recording::record(session, columns().unwrap_or_default())
        })
        .await
    }

    /// The records of these keys, and the totals they were added to. The records first: a total that is read later
    /// includes them.
    async fn stored_with_totals(
        &self,
        keys: &[UsageKey],
        limits: Limits,
    ) -> Result<(HashMap<UsageKey, UsageRecord>, Totals)> {
        if keys.is_empty() {
            return Ok((HashMap::new(), Totals::new()));
        }
        self.run(Mode::Snapshot, Repeat::Freely, limits, |mut session| async move {
            let stored = read_stored(&mut session, keys).await?;
            let keys: BTreeSet<_> =
                stored.values().flat_map(|record| RecordKeys::of(record).each().map(Clone::clone)).collect();
            let totals = read_totals(&mut session, &keys).await?;
            session.commit((stored, totals)).await
        })
        .await
    }
}
