//! Taking over totals that another store counted: counters of their own beside those of submissions.
//!
//! Whether a total is here already is looked up before it is written. Between the two a first submission of the same
//! application, label and day would count beside it; imports are for a store that nobody writes to yet. Two imports of
//! the same total cannot both count: the write has a condition.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::connect::DynamoDbStorage;
use super::counters::imported_item;
use super::ledger_keys::imported;
use super::memory::{StoredDay, Sums};
use super::writes::{Commit, Step};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, OrgId};
use crate::storage::amounts::CounterColumns;
use crate::storage::contract::{Consolidation as _, DailyTotal, Moving, Result, TotalImport};
use crate::storage::error::StorageError;

#[async_trait]
impl Moving for DynamoDbStorage {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        let totals: Vec<(&AppId, &DailyTotal)> = totals.iter().map(with_app).collect::<Result<_>>()?;
        let days: BTreeSet<Day> = totals.iter().map(|(_, total)| total.day).collect();
        let mut here = BTreeMap::new();
        for day in &days {
            let stored = self.stored_day(org_id, *day).await?;
            here.insert(*day, Here { sums: self.read_shards(org_id, *day).await?, stored });
        }
        let mut outcomes = Vec::with_capacity(totals.len());
        for (app_id, total) in totals {
            let outcome = match here.get(&total.day) {
                Some(here) if here.has(app_id, total) => TotalImport::Present,
                _ if CounterColumns::of(&total.counters).is_none() => TotalImport::Overflow,
                Some(here) if here.lost_counters(total) => {
                    return Err(StorageError::Backend(format!(
                        "submissions of {} were counted too long ago: totals are taken over into a new store",
                        total.day
                    )));
                }
                _ => self.import_total(org_id, app_id, total).await?,
            };
            outcomes.push(outcome);
        }
        for day in days {
            // Each is marked, so whoever leads makes up for a failure.
            if let Err(error) = self.consolidate(org_id, day).await {
                tracing::warn!(%error, "imported totals were not added up; the next consolidation does");
            }
        }
        Ok(outcomes)
    }
}

fn with_app(total: &DailyTotal) -> Result<(&AppId, &DailyTotal)> {
    let app_id = total
        .app_id
        .as_ref()
        .ok_or_else(|| StorageError::Backend("an organization's sums follow from its applications'".to_owned()))?;
    Ok((app_id, total))
}

/// What this store has of a day.
struct Here {
    sums: Sums,
    stored: StoredDay,
}

impl Here {
    fn has(&self, app_id: &AppId, total: &DailyTotal) -> bool {
        let of = (Some(app_id.clone()), total.model_label.clone());
        self.sums.contains_key(&of) || self.stored.contains_key(&of)
    }

    /// Whether counters that are part of the organization's total are gone, so that it cannot be added up anew.
    fn lost_counters(&self, total: &DailyTotal) -> bool {
        let of = (None, total.model_label.clone());
        let counted = self.sums.get(&of).map_or(0, |sum| sum.version);
        self.stored.get(&of).is_some_and(|stored| stored.version > counted)
    }
}

impl DynamoDbStorage {
    async fn import_total(&self, org_id: OrgId, app_id: &AppId, total: &DailyTotal) -> Result<TotalImport> {
        let (label, day) = (&total.model_label, total.day);
        // It lives as long as the totals it is part of.
        let item = imported_item(&total.counters, total.updated_at, self.totals_expire(day.month()));
        let put =
            self.put(&imported(org_id, app_id, label, day), item).condition_expression("attribute_not_exists(pk)");
        let mark = self.mark(org_id, day, &format!("import#{app_id}#{label}"));
        match self.commit(vec![put.step()?, mark.step()?]).await? {
            Commit::Done => Ok(TotalImport::Imported),
            Commit::Refused(_) => Ok(TotalImport::Present),
        }
    }
}
