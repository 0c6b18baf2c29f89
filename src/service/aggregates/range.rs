//! Usage over a range of days, grouped by day, application and model.
//!
//! A range may hold far more totals than an answer: 400 days of every application and label. So totals are streamed
//! from the store in pages and only the groups of one answer are kept, whatever the range holds.

use std::collections::BTreeMap;

use super::{add, not_in_the_future};
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ModelLabel, Scope};
use crate::domain::usage::Counters;
use crate::service::access::AggregatesAccess;
use crate::service::error::ServiceError;
use crate::service::{Result, Services};
use crate::storage::{Breakdown, DailyTotal};

/// Most days of a range: as long as daily totals are kept by default.
pub const MAX_RANGE_DAYS: i64 = 400;
/// Most groups of one page.
pub const MAX_GROUPS: u32 = 10_000;
/// Groups of a page where nothing is asked for.
pub const DEFAULT_GROUPS: u32 = 1_000;
/// Daily totals read at once.
const STORAGE_PAGE: u32 = 5_000;

/// What rows are grouped by: at least one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grouping {
    /// By local day.
    pub day: bool,
    /// By application; only for a whole organization.
    pub app: bool,
    /// By model label.
    pub model: bool,
}

/// Which group: the parts its grouping names. The order of groups is that of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The local day.
    pub day: Option<Day>,
    /// The application.
    pub app_id: Option<AppId>,
    /// The model label.
    pub model_label: Option<ModelLabel>,
}

impl GroupKey {
    fn of(total: &DailyTotal, by: Grouping) -> Self {
        Self {
            day: by.day.then_some(total.day),
            app_id: total.app_id.clone().filter(|_| by.app),
            model_label: by.model.then(|| total.model_label.clone()),
        }
    }
}

/// A range asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// First day.
    pub from: Day,
    /// Last day, included.
    pub to: Day,
    /// What rows are grouped by.
    pub group_by: Grouping,
    /// Where the page starts: after this group.
    pub after: Option<GroupKey>,
    /// Most rows to answer.
    pub limit: u32,
}

impl RangeQuery {
    fn validate(&self, scope: &Scope, today: Day) -> Result<()> {
        if self.from > self.to {
            return Err(ServiceError::invalid("from", "must not be after to"));
        }
        for (field, day) in [("from", self.from), ("to", self.to)] {
            if day > today {
                return Err(not_in_the_future(field, today));
            }
        }
        if self.from.days_until(self.to) >= MAX_RANGE_DAYS {
            return Err(ServiceError::invalid("from", format!("must begin a range of at most {MAX_RANGE_DAYS} days")));
        }
        if self.group_by.app && scope.app_id.is_some() {
            return Err(ServiceError::invalid("group_by", "must not name app here: the path fixes the application"));
        }
        Ok(())
    }
}

/// Totals of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRow {
    /// Which group.
    pub key: GroupKey,
    /// Its totals.
    pub counters: Counters,
}

/// A page of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePage {
    /// The organization or application.
    pub scope: Scope,
    /// First day.
    pub from: Day,
    /// Last day, included.
    pub to: Day,
    /// What rows are grouped by.
    pub group_by: Grouping,
    /// Groups with usage, in order of their key.
    pub rows: Vec<RangeRow>,
    /// Totals of the whole range, whatever the page.
    pub totals: Counters,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<GroupKey>,
}

impl Services {
    /// Usage over a range of days.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unregistered scope; [`ServiceError::InvalidRequest`] for a range that is
    /// reversed, too long or reaches into the future, and for grouping one application by application.
    pub async fn range_aggregates(&self, access: &AggregatesAccess, query: RangeQuery) -> Result<RangePage> {
        let (_, effective) = self.registered(access.scope()).await?;
        let scope = effective.scope;
        query.validate(&scope, effective.calendar.day_of(self.now()))?;
        let RangeQuery { from, to, group_by, after, limit } = query;

        let breakdown = match &scope.app_id {
            Some(app_id) => Breakdown::App(app_id),
            None if group_by.app => Breakdown::EveryApp,
            None => Breakdown::Org,
        };
        let limit = limit as usize;
        let mut totals = Counters::default();
        // One more than asked for tells whether there is a next page.
        let mut groups = FirstGroups::new(after, limit.saturating_add(1));
        self.visit_daily_totals(scope.org_id, breakdown, from..=to, STORAGE_PAGE, |total| {
            totals = add(&totals, &total.counters)?;
            groups.add(GroupKey::of(total, group_by), &total.counters)
        })
        .await?;
        let (rows, next) = groups.into_page(limit);
        Ok(RangePage { scope, from, to, group_by, rows, totals, next })
    }
}

/// The first `capacity` groups after a key, of a stream in which the parts of a group may lie far apart.
#[derive(Debug)]
struct FirstGroups {
    after: Option<GroupKey>,
    capacity: usize,
    groups: BTreeMap<GroupKey, Counters>,
}

impl FirstGroups {
    fn new(after: Option<GroupKey>, capacity: usize) -> Self {
        Self { after, capacity, groups: BTreeMap::new() }
    }

    /// Adds a part of a group. A group that was pushed out by smaller ones can never come back in part: the largest
    /// key kept only gets smaller.
    fn add(&mut self, key: GroupKey, counters: &Counters) -> Result<()> {
        if self.after.as_ref().is_some_and(|after| key <= *after) {
            return Ok(());
        }
        if let Some(total) = self.groups.get_mut(&key) {
            *total = add(total, counters)?;
            return Ok(());
        }
        if self.groups.len() >= self.capacity {
            if self.groups.last_key_value().is_none_or(|(largest, _)| key > *largest) {
                return Ok(());
            }
            self.groups.pop_last();
        }
        self.groups.insert(key, *counters);
        Ok(())
    }

    /// The first `limit` groups, and where the next page starts if there is more.
    fn into_page(self, limit: usize) -> (Vec<RangeRow>, Option<GroupKey>) {
        let more = self.groups.len() > limit;
        let rows: Vec<_> =
            self.groups.into_iter().take(limit).map(|(key, counters)| RangeRow { key, counters }).collect();
        let next = rows.last().filter(|_| more).map(|row| row.key.clone());
        (rows, next)
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
