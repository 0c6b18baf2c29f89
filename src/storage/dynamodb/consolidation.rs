//! Adding up shards.
//!
//! One pass reads every shard of a day and writes each total that changed. What keeps that right, although shards are
//! read one after the other and others may do the same at once:
//!
//! * The version of a sum is how often its counters changed. Of two readings, one of which began after the other was
//!   finished, the later one has everything the earlier one has: its version is greater, or both are the same.
//! * Readings at the same time prove nothing about each other, whatever their versions: each may have what the other
//!   lacks. So a total is only written over one that was seen *before* the reading began; the condition of the write is
//!   that exactly this version is still there. Where it is not, somebody else wrote meanwhile, and the pass reads again.
//! * So what is stored only ever gets newer: whoever wrote it had begun to read after what it replaced was written.
//! * And so nobody has to win. A version that is met in the second refusal was written during this call; one that is met
//!   in the third replaced that one or a later one, so it was read during this call, and has everything that was
//!   committed before it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};

use super::attributes::{epoch_secs, n, optional_number, s, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::counters::Snapshot;
use super::keys::{EXPIRES, SK, shards};
use super::ledger_keys::{
    MARKS, MAX_SHARDS, column, counter_partition, counter_parts, mark, mark_parts, month_prefix, total, total_parts,
    totals_partition,
};
use super::memory::{Stored, StoredDay, Sums, TotalOf};
use super::singles::Written;
use super::tables::Table;
use super::totals::columns;
use super::writes::Step;
use crate::domain::calendar::{Calendar, Day, Month};
use crate::domain::ids::OrgId;
use crate::storage::contract::{Consolidation, ConsolidationLease, Result};

pub(super) use super::memory::ConsolidationMemory;

/// Reads or writes of one pass that are under way at once: two rounds for an organization of 32 shards.
const AT_ONCE: usize = 16;
/// Most times a pass reads, see above.
const MAX_READS: u32 = 3;

#[async_trait]
impl Consolidation for DynamoDbStorage {
    fn consolidates(&self) -> bool {
        true
    }

    async fn consolidate(&self, org_id: OrgId, day: Day) -> Result<bool> {
        let remembered = self.consolidation.of_day(org_id, day).await;
        // Held to the end: passes of one instance over one day would only refuse each other.
        let mut remembered = remembered.lock().await;
        // Before anything is read: what is marked later is for a later pass.
        let marked = self.consolidation.take_mark(org_id, day).await;
        // Taken out: after a failure nothing is sure.
        let mut stored = match remembered.take() {
            Some(stored) => stored,
            None => self.stored_day(org_id, day).await?,
        };
        let mut changed = false;
        let mut refused = None;
        for _ in 0..MAX_READS {
            let mut sums = self.read_shards(org_id, day).await?;
            if let Some(refused) = &refused {
                sums.retain(|of, _| BTreeSet::contains(refused, of));
            }
            let pass = self.write_sums(org_id, day, &sums, &mut stored).await?;
            changed |= pass.wrote;
            if pass.refused.is_empty() {
                break;
            }
            refused = Some(pass.refused);
        }
        *remembered = ConsolidationMemory::worth_keeping(stored);
        if let Some(by) = marked {
            self.unmark(org_id, day, &by).await?;
        }
        Ok(changed)
    }

    async fn unconsolidated(&self, limit: u32) -> Result<Vec<(OrgId, Day)>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let range = Range { limit: Some(limit), consistent: true, ..Range::default() };
        let mut days = Vec::new();
        for item in self.query(Table::Counters, MARKS, &range).await? {
            let (org_id, day) = mark_parts(text(&item, SK)?)?;
            self.consolidation.saw_mark(org_id, day, text(&item, "counters.by")?).await;
            days.push((org_id, day));
        }
        Ok(days)
    }

    async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>> {
        self.read_lease().await
    }

    async fn lease_consolidation(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool> {
        self.take_lease(lease, now).await
    }
}

/// What writing sums came to.
#[derive(Debug, Default)]
struct Pass {
    wrote: bool,
    /// Those that somebody else wrote meanwhile.
    refused: BTreeSet<TotalOf>,
}

impl DynamoDbStorage {
    /// What counters of a day add up to.
    pub(super) async fn read_shards(&self, org_id: OrgId, day: Day) -> Result<Sums> {
        // Read every time: an organization that was created anew may have more of them than before.
        let count = match self.get(&shards(org_id), true).await? {
            Some(item) => optional_number(&item, "config.n")?.unwrap_or(MAX_SHARDS),
            None => MAX_SHARDS,
        };
        let partitions = (0..count).map(|shard| counter_partition(org_id, day, shard));
        let reads = partitions.map(|partition| async move {
            let everything = Range { consistent: true, ..Range::default() };
            self.query(Table::Counters, &partition, &everything).await
        });
        let reads: Vec<_> = reads.collect();
        let mut sums = Sums::new();
        let mut items = futures_util::stream::iter(reads).buffer_unordered(AT_ONCE);
        while let Some(items) = items.try_next().await? {
            for item in items {
                let (app_id, label) = counter_parts(text(&item, SK)?)?;
                let snapshot = Snapshot::of_counter(&item)?;
                snapshot.add_to(&mut sums, (None, label.clone()));
                snapshot.add_to(&mut sums, (Some(app_id), label));
            }
        }
        Ok(sums)
    }

    /// What is stored of a day.
    pub(super) async fn stored_day(&self, org_id: OrgId, day: Day) -> Result<StoredDay> {
        let prefix = month_prefix(day.month());
        let range = Range { prefix: Some(&prefix), consistent: true, ..Range::default() };
        let mut stored = StoredDay::new();
        for item in self.query(Table::Totals, &totals_partition(org_id), &range).await? {
            let Some(parts) = total_parts(text(&item, SK)?)? else { continue };
            if let Some((_, snapshot)) = columns(&item, parts.month)?.iter().find(|(of, _)| *of == day) {
                stored.insert((parts.app_id, parts.label), snapshot.into());
            }
        }
        Ok(stored)
    }

    /// Writes the sums that are newer than what is stored, and notes what is stored then.
    async fn write_sums(&self, org_id: OrgId, day: Day, sums: &Sums, stored: &mut StoredDay) -> Result<Pass> {
        let newer = sums.iter().filter_map(|(of, sum)| {
            let before = stored.get(of).copied();
            // Where it is older, counters have expired: what was added up while they were there stays.
            before.is_none_or(|before| before.version < sum.version).then_some((of, sum, before))
        });
        let writes: Vec<_> = newer
            .map(|(of, sum, before)| async move {
                self.write_sum(org_id, day, of, sum, before).await.map(|written| (of, written))
            })
            .collect();
        let results: Vec<_> = futures_util::stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut pass = Pass::default();
        for (of, written) in results {
            match written {
                Wrote::Done(now) => {
                    pass.wrote = true;
                    stored.insert(of.clone(), now);
                }
                Wrote::Refused(there) => {
                    pass.refused.insert(of.clone());
                    match there {
                        Some(there) => stored.insert(of.clone(), there),
                        None => stored.remove(of),
                    };
                }
            }
        }
        Ok(pass)
    }

    async fn write_sum(
        &self,
        org_id: OrgId,
        day: Day,
        (app_id, label): &TotalOf,
        sum: &Snapshot,
        before: Option<Stored>,
    ) -> Result<Wrote> {
        // When something changed never goes back either.
        let updated_at = before.map_or(sum.updated_at, |before| before.updated_at.max(sum.updated_at));
        let sum = Snapshot { updated_at, ..*sum };
        let month = day.month();
        let update = self
            .update(&total(org_id, app_id.as_ref(), label, month))
            .update_expression("SET #day = :sum, #expires = :expires")
            .expression_attribute_names("#day", column(day))
            .expression_attribute_names("#expires", EXPIRES)
            .expression_attribute_values(":sum", sum.column())
            .expression_attribute_values(":expires", n(self.totals_expire(month)));
        let update = match before {
            None => update.condition_expression("attribute_not_exists(#day)"),
            Some(before) => {
                update.condition_expression("#day[0] = :seen").expression_attribute_values(":seen", n(before.version))
            }
        };
        match self.write_one(update.step()?).await? {
            Written::Done => Ok(Wrote::Done(Stored::from(&sum))),
            Written::Refused(item) => {
                let there = item.as_ref().and_then(|item| item.get(&column(day)));
                Ok(Wrote::Refused(there.map(Snapshot::of_column).transpose()?.as_ref().map(Stored::from)))
            }
        }
    }

    /// When totals of a month are deleted, in seconds since 1970.
    pub(super) fn totals_expire(&self, month: Month) -> i64 {
        // A local month ends less than a day after that of UTC.
        let kept = SignedDuration::from_hours((i64::from(self.options.totals_days) + 1) * 24);
        let end = Calendar::new("UTC").and_then(|calendar| calendar.end_of_month(month)).unwrap_or(Timestamp::MAX);
        epoch_secs(end.checked_add(kept).unwrap_or(Timestamp::MAX))
    }

    /// Marks a day for consolidation although nobody would look at it any more. `by` must be different each time: a mark
    /// is only removed by whoever saw this one.
    pub(super) fn mark(&self, org_id: OrgId, day: Day, by: &str) -> UpdateBuilder {
        self.update(&mark(org_id, day))
            .update_expression("SET #by = :by")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":by", s(by))
    }

    /// Removes a mark, unless the day was marked again.
    async fn unmark(&self, org_id: OrgId, day: Day, by: &str) -> Result<()> {
        let delete = self
            .delete(&mark(org_id, day))
            .condition_expression("#by = :by")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":by", s(by));
        self.write_one(delete.step()?).await?;
        Ok(())
    }
}

/// What writing a sum came to.
#[derive(Debug)]
enum Wrote {
    Done(Stored),
    /// Another version was there than the one seen before; what is there, where anything is.
    Refused(Option<Stored>),
}
