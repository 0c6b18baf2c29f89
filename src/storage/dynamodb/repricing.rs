//! Correcting recorded usage: transactions of records, their pointers, and the counters they were added to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;

use super::attributes::{b, n};
use super::backoff::Backoff;
use super::calls::TransactError;
use super::connect::DynamoDbStorage;
use super::correction::{Step, days, differences, groups, rounds};
use super::counters::{CounterUpdate, Tally};
use super::ledger_keys::{CounterKey, pointer, usage};
use super::usage_items::{FIGURES, StoredRecord, figures_item, stored_record};
use super::writes::{Refusals, Step as _};
use crate::domain::calendar::Day;
use crate::domain::ids::OrgId;
use crate::domain::usage::UsageRecord;
use crate::storage::contract::{
    Consolidation as _, Reprice, RepriceFilter, RepriceOutcome, RepricePosition, Repricing, Result,
};

#[async_trait]
impl Repricing for DynamoDbStorage {
    async fn repriceable(
        &self,
        filter: &RepriceFilter,
        after: Option<&RepricePosition>,
        limit: u32,
    ) -> Result<Vec<UsageRecord>> {
        self.walk(filter, after, limit).await
    }

    async fn reprice_usage(&self, reprices: &[Reprice], repriced_at: Timestamp) -> Result<Vec<RepriceOutcome>> {
        self.watermark.saw(repriced_at);
        let mut call = Call { repriced_at, outcomes: HashMap::new(), changed: BTreeSet::new() };
        let corrected = self.correct(reprices, &mut call).await;
        // Also where a later correction failed. The days are marked, so whoever leads makes up for a failure of this.
        for (org_id, day) in &call.changed {
            if let Err(error) = self.consolidate(*org_id, *day).await {
                tracing::warn!(%error, "corrections were not added up; the next consolidation does");
            }
        }
        corrected?;
        // Whatever has no outcome was never there.
        let outcome = |place| call.outcomes.get(&place).copied().unwrap_or(RepriceOutcome::Gone);
        Ok((0..reprices.len()).map(outcome).collect())
    }
}

/// What a call has come to so far.
struct Call {
    repriced_at: Timestamp,
    /// By the place of the correction in the call.
    outcomes: HashMap<usize, RepriceOutcome>,
    changed: BTreeSet<(OrgId, Day)>,
}

impl Call {
    /// Takes note of what does not apply, and keeps what does.
    fn keep<'a>(&mut self, place: usize, step: Result<Step<'a>, RepriceOutcome>) -> Option<Step<'a>> {
        step.map_err(|outcome| self.outcomes.insert(place, outcome)).ok()
    }
}

impl DynamoDbStorage {
    async fn correct(&self, reprices: &[Reprice], call: &mut Call) -> Result<()> {
        for round in rounds(reprices) {
            let keys = round.iter().map(|(_, reprice)| usage(&reprice.key));
            let mut items = self.batch_get(keys, true).await?;
            let mut steps = Vec::with_capacity(round.len());
            for (place, reprice) in round {
                let stored = items.remove(&usage(&reprice.key)).as_ref().map(stored_record).transpose()?;
                let step = Step::of(place, reprice, self.correctable(stored, call.repriced_at));
                steps.extend(call.keep(place, step));
            }
            for group in groups(steps) {
                self.correct_group(group, call).await?;
            }
        }
        Ok(())
    }

    /// What is there to be corrected: a record that is not forgotten and still has its totals.
    fn correctable(&self, stored: Option<StoredRecord>, now: Timestamp) -> Option<StoredRecord> {
        stored.filter(|stored| {
            stored.expires > now.as_second()
                && !self.watermark.hides_usage(stored.record.recorded_at)
                && !self.watermark.hides_day(stored.record.day)
        })
    }

    /// Corrects records of one transaction. Where one turns out to have changed, it is decided about anew, and the others
    /// go on.
    async fn correct_group(&self, mut group: Vec<Step<'_>>, call: &mut Call) -> Result<()> {
        let mut backoff = Backoff::within(self.options.operation_timeout);
        while !group.is_empty() {
            let counters = differences(&group);
            let steps = self.correction_steps(&group, &counters, call.repriced_at)?;
            let refusals = match self.transact(steps).await {
                Ok(()) => {
                    call.changed.extend(days(&group).into_keys());
                    call.outcomes.extend(group.iter().map(|step| (step.place, RepriceOutcome::Applied)));
                    return Ok(());
                }
                Err(TransactError::Other(error)) => return Err(error),
                Err(TransactError::Canceled(reasons)) => Refusals(reasons),
            };
            refusals.passing()?;
            let before = group.len();
            group = self.after_refusals(group, &counters, &refusals, call)?;
            // Each pause is one of few, so this ends, whoever else is at the same records.
            if group.len() == before {
                backoff.pause("others keep correcting the same records").await?;
            }
        }
        Ok(())
    }

    /// What is left of a group after these refusals.
    fn after_refusals<'a>(
        &self,
        group: Vec<Step<'a>>,
        counters: &BTreeMap<CounterKey, Tally>,
        refusals: &Refusals,
        call: &mut Call,
    ) -> Result<Vec<Step<'a>>> {
        // The order of steps: records, then counters.
        let records = group.len();
        let gone: BTreeSet<&CounterKey> = counters
            .keys()
            .enumerate()
            .filter(|(place, _)| refusals.refused(records + place))
            .map(|(_, counter)| counter)
            .collect();
        let mut left = Vec::with_capacity(records);
        for (n, step) in group.into_iter().enumerate() {
            let place = step.place;
            let again = if gone.contains(&step.counter()) {
                Err(RepriceOutcome::Gone)
            } else if refusals.refused(n) {
                let stored = refusals.item(n).map(stored_record).transpose()?;
                Step::of(place, step.reprice, self.correctable(stored, call.repriced_at))
            } else {
                Ok(step)
            };
            left.extend(call.keep(place, again));
        }
        Ok(left)
    }

    /// The steps of a transaction: records and counters, which have conditions, in order; then pointers and marks.
    fn correction_steps(
        &self,
        group: &[Step<'_>],
        counters: &BTreeMap<CounterKey, Tally>,
        repriced_at: Timestamp,
    ) -> Result<Vec<TransactWriteItem>> {
        let records = group.iter().map(|step| self.record_correction(step));
        let counters = counters.iter().map(|(counter, tally)| {
            let CounterUpdate { expression, names, values } = CounterUpdate::correcting(tally, repriced_at);
            self.update(&counter.key())
                .update_expression(expression)
                .set_expression_attribute_names(Some(names.into_iter().collect()))
                .set_expression_attribute_values(Some(values.into_iter().collect()))
                .condition_expression("attribute_exists(pk)")
                .step()
        });
        let priced = group.iter().filter(|step| !step.corrected.is_repriceable());
        let pointers = priced.map(|step| self.delete(&pointer(&step.corrected)).step());
        let days = days(group);
        let marks = days.iter().map(|((org_id, day), by)| self.mark(*org_id, *day, by).step());
        records.chain(counters).chain(pointers).chain(marks).collect()
    }

    /// Replaces the figures of a record that is as it was read.
    fn record_correction(&self, step: &Step<'_>) -> Result<TransactWriteItem> {
        let figures = figures_item(&step.corrected.figures());
        let mut update = self.update(&usage(&step.reprice.key)).expression_attribute_names("#rv", "rv");
        let mut sets = vec!["#rv = :rv".to_owned()];
        let mut removes = Vec::new();
        for name in FIGURES {
            update = update.expression_attribute_names(format!("#{name}"), name);
            match figures.get(name) {
                Some(value) => {
                    sets.push(format!("#{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), value.clone());
                }
                None => removes.push(format!("#{name}")),
            }
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if !removes.is_empty() {
            expression = format!("{expression} REMOVE {}", removes.join(", "));
        }
        let revision = step.stored.revision;
        let update = update
            .update_expression(expression)
            .expression_attribute_values(":rv", n(revision.saturating_add(1)))
            // Another submission may have taken the key since, if this one expired.
            .expression_attribute_names("#fp", "fp")
            .expression_attribute_values(":fp", b(step.stored.record.fingerprint));
        match revision {
            0 => update.condition_expression("attribute_exists(pk) AND attribute_not_exists(#rv) AND #fp = :fp"),
            seen => {
                update.condition_expression("#rv = :seen AND #fp = :fp").expression_attribute_values(":seen", n(seen))
            }
        }
        .step()
    }
}
