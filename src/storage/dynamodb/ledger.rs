//! Recording usage: transactions of a record per submission and few counters.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::{SignedDuration, Timestamp};

use super::attributes::{Item, epoch_secs, item, ms, n};
use super::backoff::Backoff;
use super::calls::TransactError;
use super::connect::DynamoDbStorage;
use super::counters::CounterUpdate;
use super::keys::EXPIRES;
use super::ledger_keys::{CounterKey, pointer, usage};
use super::outcomes::{Known, candidates, outcomes, without_candidate};
use super::transaction::{Addition, Plan, groups};
use super::usage_items::{StoredRecord, stored_record, usage_item};
use super::writes::{Refusals, Step};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, OrgId, RequestId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageKey, UsageRecord};
use crate::storage::contract::{
    Breakdown, DailyTotal, DailyTotalKey, IngestLimits, RecordOutcome, Result, UsageLedger,
};

/// How much longer than usage records their counters live. Records of one day are recorded within a few days, and no
/// counter may be gone while a record of its day can still be corrected.
const COUNTERS_OUTLIVE: SignedDuration = SignedDuration::from_hours(8 * 24);

#[async_trait]
impl UsageLedger for DynamoDbStorage {
    fn ingest_limits(&self) -> IngestLimits {
        // A transaction takes about a hundred submissions, and several can be under way at once; more would meet at the
        // counters of a busy application, which has eight shards or more.
        IngestLimits { max_batch: 100, concurrency: 8 }
    }

    async fn record_usage(&self, records: &[UsageRecord]) -> Result<Vec<RecordOutcome>> {
        let Some(latest) = records.iter().map(|record| record.recorded_at).max() else { return Ok(Vec::new()) };
        self.watermark.saw(latest);
        let mut known = HashMap::new();
        let mut backoff = Backoff::within(self.options.operation_timeout);
        // One after the other: groups of a call often add to the same counter.
        for group in groups(&candidates(records)) {
            self.record_group(group, &mut backoff, &mut known).await?;
        }
        for key in without_candidate(records) {
            if let Some(stored) = self.stored(&key).await? {
                known.insert(key, Known { record: stored.record, is_new: false });
            }
        }
        let totals = self.totals_of_outcomes(known.values().map(|known| &known.record)).await;
        Ok(outcomes(records, &known, |record| totals.label_totals(record)))
    }

    async fn usage(&self, org_id: OrgId, app_id: &AppId, request_id: RequestId) -> Result<Option<UsageRecord>> {
        let key = UsageKey { org_id, app_id: app_id.clone(), request_id };
        Ok(self.stored(&key).await?.map(|stored| stored.record))
    }

    async fn totals(&self, scope: &Scope, day: Day) -> Result<BTreeMap<ModelLabel, SpendTotals>> {
        Ok(self.scope_page(scope, day).await?.0)
    }

    async fn label_totals(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Result<LabelTotals> {
        self.read_label_totals(org_id, app_id, label, day).await
    }

    async fn daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>> {
        self.read_daily_totals(org_id, breakdown, days, after, limit).await
    }
}

impl DynamoDbStorage {
    /// The stored record of a submission, unless there is none or it is forgotten.
    pub(super) async fn stored(&self, key: &UsageKey) -> Result<Option<StoredRecord>> {
        let item = self.get(&usage(key), true).await?;
        let stored = item.as_ref().map(stored_record).transpose()?;
        Ok(stored.filter(|stored| !self.watermark.hides_usage(stored.record.recorded_at)))
    }

    /// Records submissions that fit one transaction, and notes in `known` what counts for each.
    async fn record_group(
        &self,
        group: Vec<&UsageRecord>,
        backoff: &mut Backoff,
        known: &mut HashMap<UsageKey, Known>,
    ) -> Result<()> {
        let mut left = group;
        let mut attempt = 0;
        while !left.is_empty() {
            let plan = Plan::of(&left, attempt);
            let reasons = match self.transact(self.steps(&plan)?).await {
                Ok(()) => {
                    let new = |record: &&UsageRecord| (record.key(), Known { record: (*record).clone(), is_new: true });
                    known.extend(left.iter().map(new));
                    return Ok(());
                }
                Err(TransactError::Other(error)) => return Err(error),
                Err(TransactError::Canceled(reasons)) => reasons,
            };
            let canceled = plan.canceled(&Refusals(reasons))?;
            let before = left.len();
            for (place, item) in canceled.taken {
                let Some((record, _)) = plan.records.get(place) else { continue };
                if let Some(stored) = self.taken(&record.key(), item).await? {
                    known.insert(record.key(), Known { record: stored.record, is_new: false });
                }
            }
            left.retain(|record| !known.contains_key(&record.key()));
            // Without what was taken the rest may go at once, unless somebody is in its way.
            if canceled.contended || left.len() == before {
                backoff.pause("others keep writing to the same counters").await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// What took a key: as the reason has it, or else as it is stored. `None` where it is gone by now.
    async fn taken(&self, key: &UsageKey, item: Option<Item>) -> Result<Option<StoredRecord>> {
        match item {
            Some(item) => stored_record(&item).map(Some),
            None => self.stored(key).await,
        }
    }

    /// The steps of a transaction: records first, in order.
    fn steps(&self, plan: &Plan<'_>) -> Result<Vec<TransactWriteItem>> {
        let records = plan.records.iter().map(|(record, shard)| self.record_step(record, *shard));
        let repriceable = plan.records.iter().filter(|(record, _)| record.is_repriceable());
        let pointers = repriceable.map(|(record, _)| {
            let expires = item([(EXPIRES, n(epoch_secs(self.record_expires(record))))]);
            self.put(&pointer(record), expires).step()
        });
        let additions = plan.additions.iter().map(|(key, addition)| self.addition_step(key, addition));
        records.chain(pointers).chain(additions).collect()
    }

    fn record_step(&self, record: &UsageRecord, shard: u8) -> Result<TransactWriteItem> {
        let put = self
            .put(&usage(&record.key()), usage_item(record, shard, self.record_expires(record)))
            .expression_attribute_values(":now", n(record.recorded_at.as_second()));
        // What expired is gone, whether it was deleted yet or not.
        let free = "attribute_not_exists(pk) OR expires <= :now";
        match self.watermark.usage_before() {
            None => put.condition_expression(free),
            Some(before) => put
                .condition_expression(format!("{free} OR rc < :before"))
                .expression_attribute_values(":before", ms(before)),
        }
        .step()
    }

    fn addition_step(&self, key: &CounterKey, addition: &Addition) -> Result<TransactWriteItem> {
        let expires = self.record_retention().checked_add(COUNTERS_OUTLIVE).unwrap_or(SignedDuration::MAX);
        let expires = epoch_secs(later(addition.last, expires));
        let CounterUpdate { expression, names, values } =
            CounterUpdate::adding(&addition.tally, addition.last, expires);
        self.update(&key.key())
            .update_expression(expression)
            .set_expression_attribute_names(Some(names.into_iter().collect()))
            .set_expression_attribute_values(Some(values.into_iter().collect()))
            .step()
    }

    fn record_retention(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.options.usage_days) * 24)
    }

    /// When a record is gone.
    fn record_expires(&self, record: &UsageRecord) -> Timestamp {
        later(record.recorded_at, self.record_retention())
    }
}

fn later(instant: Timestamp, duration: SignedDuration) -> Timestamp {
    instant.checked_add(duration).unwrap_or(Timestamp::MAX)
}
