//! Reading totals. A label's month is one item with a column per day, so its day and its month always agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::attributes::{Item, corrupt, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::counters::{Snapshot, Tally};
use super::keys::{Key, SK, totals_prefix};
use super::ledger_keys::{
    LAST, TotalParts, column_day, month_prefix, selection_range, total, total_parts, totals_partition,
};
use super::tables::Table;
use super::watermark::Watermark;
use crate::domain::calendar::{Day, Month};
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::domain::usage::{LabelTotals, SpendTotals, UsageRecord};
use crate::storage::contract::{Breakdown, DailyTotal, DailyTotalKey, Result};

/// Totals of every label, when any of them last changed, and the item of the fallback state.
pub(super) type ScopePage = (BTreeMap<ModelLabel, SpendTotals>, Option<Timestamp>, Option<Item>);

impl DynamoDbStorage {
    /// Everything a selection reads, in one query.
    pub(super) async fn scope_page(&self, scope: &Scope, day: Day) -> Result<ScopePage> {
        let (from, to) = selection_range(scope, day);
        let range = Range { between: Some((&from, &to)), consistent: true, ..Range::default() };
        let items = self.query(Table::Totals, &totals_partition(scope.org_id), &range).await?;
        let mut totals = BTreeMap::new();
        let mut changed = None;
        let mut state = None;
        for item in items {
            match total_parts(text(&item, SK)?)? {
                None => state = Some(item),
                Some(_) if self.watermark.hides_month_of(day) => {}
                Some(parts) => {
                    let (spend, updated_at) = spend(&self.watermark, &item, parts.month, day)?;
                    changed = changed.max(updated_at);
                    totals.insert(parts.label, spend);
                }
            }
        }
        Ok((totals, changed, state))
    }

    /// Totals of one label, of its application and its organization.
    pub(super) async fn read_label_totals(
        &self,
        org_id: OrgId,
        app_id: &AppId,
        label: &ModelLabel,
        day: Day,
    ) -> Result<LabelTotals> {
        let keys = label_keys(org_id, app_id, label, day.month());
        let items = self.batch_get(keys.clone(), true).await?;
        TotalItems(items).read(&self.watermark, &keys, day)
    }

    /// Totals for the outcomes of a call that is committed. They may be a consolidation old anyway, so that of the
    /// cheaper kind of read will do; and a failure must not turn what was recorded into an error.
    pub(super) async fn totals_of_outcomes<'a>(
        &self,
        records: impl Iterator<Item = &'a UsageRecord>,
    ) -> OutcomeTotals<'_> {
        let keys: BTreeSet<Key> = records.flat_map(record_keys).collect();
        let items = self.batch_get(keys, false).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "totals of recorded usage could not be read; the answer has zeros");
            HashMap::new()
        });
        OutcomeTotals { items: TotalItems(items), watermark: &self.watermark }
    }

    /// A page of daily totals.
    pub(super) async fn read_daily_totals(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        days: RangeInclusive<Day>,
        after: Option<&DailyTotalKey>,
        limit: u32,
    ) -> Result<Vec<DailyTotal>> {
        let first = after.map_or(*days.start(), |after| after.day.max(*days.start()));
        let mut page = Page {
            days: first..=*days.end(),
            after,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            rows: BTreeMap::new(),
        };
        let mut month = first.month();
        while page.limit > 0 && !page.days.is_empty() {
            let Some(next) = self.next_month(org_id, month).await?.filter(|next| *next <= page.days.end().month())
            else {
                break;
            };
            self.read_month(org_id, breakdown, next, &mut page).await?;
            // Every row of a later month comes after all of these.
            let following = next.last_day().next();
            match following {
                Some(day) if page.rows.len() < page.limit => month = day.month(),
                _ => break,
            }
        }
        Ok(page.rows.into_values().collect())
    }

    /// The first month from `month` on in which an organization has anything.
    async fn next_month(&self, org_id: OrgId, month: Month) -> Result<Option<Month>> {
        let from = month_prefix(month);
        let between = Some((from.as_str(), LAST));
        let range = Range { between, limit: Some(1), consistent: true, attributes: Some(SK), ..Range::default() };
        let found = self.query(Table::Totals, &totals_partition(org_id), &range).await?;
        let Some(item) = found.first() else { return Ok(None) };
        let sk = text(item, "totals.sk")?;
        let month = sk.split_once('#').and_then(|(month, _)| month.parse().ok());
        month.map(Some).ok_or_else(|| corrupt("totals.sk"))
    }

    /// Adds the rows of a month to a page.
    async fn read_month(
        &self,
        org_id: OrgId,
        breakdown: Breakdown<'_>,
        month: Month,
        page: &mut Page<'_>,
    ) -> Result<()> {
        let text_of_month = month.to_string();
        let prefix = match breakdown {
            Breakdown::App(app_id) => totals_prefix(&text_of_month, Some(app_id)),
            Breakdown::Org => totals_prefix(&text_of_month, None),
            Breakdown::EveryApp => month_prefix(month),
        };
        let range = Range { prefix: Some(&prefix), consistent: true, ..Range::default() };
        for item in self.query(Table::Totals, &totals_partition(org_id), &range).await? {
            let Some(parts) = total_parts(text(&item, "totals.sk")?)? else { continue };
            // The organization's own lie among its applications'.
            if breakdown != Breakdown::EveryApp || parts.app_id.is_some() {
                page.add(&self.watermark, &parts, &item)?;
            }
        }
        Ok(())
    }
}

/// A page under construction: the first rows after a key, in order.
struct Page<'a> {
    days: RangeInclusive<Day>,
    after: Option<&'a DailyTotalKey>,
    limit: usize,
    rows: BTreeMap<(Day, Option<AppId>, ModelLabel), DailyTotal>,
}

impl Page<'_> {
    fn add(&mut self, watermark: &Watermark, parts: &TotalParts, item: &Item) -> Result<()> {
        for (day, snapshot) in columns(item, parts.month)? {
            let key = (day, parts.app_id.clone(), parts.label.clone());
            let after =
                self.after.is_none_or(|after| (after.day, &after.app_id, &after.model_label) < (key.0, &key.1, &key.2));
            if !after || !self.days.contains(&day) || watermark.hides_day(day) {
                continue;
            }
            let total = DailyTotal {
                day,
                app_id: parts.app_id.clone(),
                model_label: parts.label.clone(),
                counters: snapshot.tally.counters(),
                updated_at: snapshot.updated_at,
            };
            self.rows.insert(key, total);
            if self.rows.len() > self.limit {
                self.rows.pop_last();
            }
        }
        Ok(())
    }
}

/// Columns of a month's totals, in no order.
pub(super) fn columns(item: &Item, month: Month) -> Result<Vec<(Day, Snapshot)>> {
    let columns = item.iter().filter_map(|(name, value)| Some((column_day(month, name)?, value)));
    columns.map(|(day, value)| Ok((day, Snapshot::of_column(value)?))).collect()
}

/// Day and month of a label's month item, and when it last changed.
fn spend(watermark: &Watermark, item: &Item, month: Month, day: Day) -> Result<(SpendTotals, Option<Timestamp>)> {
    let columns = columns(item, month)?;
    let sum = columns.iter().fold(Tally::default(), |sum, (_, snapshot)| sum.plus(snapshot.tally));
    let of_day = columns.iter().find(|(of, _)| *of == day && !watermark.hides_day(day));
    let spend = SpendTotals {
        day: of_day.map(|(_, snapshot)| snapshot.tally.counters()).unwrap_or_default(),
        month: sum.counters(),
    };
    Ok((spend, columns.iter().map(|(_, snapshot)| snapshot.updated_at).max()))
}

/// Keys of an application's and its organization's totals of a label.
fn label_keys(org_id: OrgId, app_id: &AppId, label: &ModelLabel, month: Month) -> [Key; 2] {
    [total(org_id, Some(app_id), label, month), total(org_id, None, label, month)]
}

fn record_keys(record: &UsageRecord) -> [Key; 2] {
    label_keys(record.org_id, &record.app_id, &record.model_label, record.month())
}

/// Items that were read.
struct TotalItems(HashMap<Key, Item>);

impl TotalItems {
    fn read(&self, watermark: &Watermark, [app, org]: &[Key; 2], day: Day) -> Result<LabelTotals> {
        let spend = |key: &Key| -> Result<SpendTotals> {
            match self.0.get(key).filter(|_| !watermark.hides_month_of(day)) {
                Some(item) => Ok(spend(watermark, item, day.month(), day)?.0),
                None => Ok(SpendTotals::default()),
            }
        };
        Ok(LabelTotals { app: spend(app)?, org: spend(org)? })
    }
}

/// Totals for the outcomes of a call.
pub(super) struct OutcomeTotals<'a> {
    items: TotalItems,
    watermark: &'a Watermark,
}

impl OutcomeTotals<'_> {
    /// Totals of a record's key; zeros where they could not be read.
    pub(super) fn label_totals(&self, record: &UsageRecord) -> LabelTotals {
        self.items.read(self.watermark, &record_keys(record), record.day).unwrap_or_else(|error| {
            tracing::warn!(%error, "totals of recorded usage are not readable; the answer has zeros");
            LabelTotals::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{n, s};
    use super::super::counters::imported_item;
    use super::super::ledger_keys::column;
    use super::*;
    use crate::domain::usage::Counters;
    use crate::storage::contract::Retention;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn snapshot(requests: u64, second: i64) -> Snapshot {
        let counters = Counters { requests, ..Counters::default() };
        Snapshot::of_counter(&imported_item(&counters, Timestamp::from_second(second).unwrap(), 0)).unwrap()
    }

    fn january() -> Item {
        let mut item = Item::from([("pk".to_owned(), s("x")), ("expires".to_owned(), n(5))]);
        for (on, requests, second) in [("2026-01-01", 1, 9), ("2026-01-23", 20, 3), ("2026-01-31", 300, 1)] {
            item.insert(column(day(on)), snapshot(requests, second).column());
        }
        item
    }

    fn watermark(totals_before: &str) -> Watermark {
        let watermark = Watermark::default();
        let long_ago = Timestamp::UNIX_EPOCH;
        watermark.raise(&Retention {
            now: long_ago,
            usage_before: long_ago,
            totals_before: day(totals_before),
            audit_before: long_ago,
        });
        watermark
    }

    #[test]
    fn a_month_is_the_sum_of_its_days_and_changed_when_the_last_of_them_did() {
        let watermark = Watermark::default();
        let month = day("2026-01-01").month();
        let (totals, changed) = spend(&watermark, &january(), month, day("2026-01-23")).unwrap();
        assert_eq!((totals.day.requests, totals.month.requests), (20, 321));
        assert_eq!(changed, Some(Timestamp::from_second(9).unwrap()));
        let (idle, _) = spend(&watermark, &january(), month, day("2026-01-24")).unwrap();
        assert_eq!((idle.day.requests, idle.month.requests), (0, 321));
    }

    #[test]
    fn a_forgotten_day_is_hidden_and_still_part_of_its_month() {
        let (totals, _) =
            spend(&watermark("2026-01-24"), &january(), day("2026-01-01").month(), day("2026-01-23")).unwrap();
        assert_eq!((totals.day.requests, totals.month.requests), (0, 321));
        let key = total(OrgId(uuid::Uuid::nil()), None, &"premium".parse().unwrap(), day("2026-01-01").month());
        let items = TotalItems(HashMap::from([(key.clone(), january())]));
        let keys = [key.clone(), key];
        let read = |before: &str| items.read(&watermark(before), &keys, day("2026-01-23")).unwrap().org;
        assert_eq!(read("2026-01-31").month.requests, 321);
        assert_eq!(read("2026-02-01"), SpendTotals::default());
    }

    #[test]
    fn a_page_has_the_first_rows_after_a_key() {
        let after = DailyTotalKey { day: day("2026-01-01"), app_id: None, model_label: "premium".parse().unwrap() };
        let parts =
            |label: &str| TotalParts { month: day("2026-01-01").month(), app_id: None, label: label.parse().unwrap() };
        let days = day("2026-01-01")..=day("2026-01-30");
        let mut page = Page { days, after: Some(&after), limit: 2, rows: BTreeMap::new() };
        for label in ["standard", "premium", "economy"] {
            page.add(&Watermark::default(), &parts(label), &january()).unwrap();
        }
        let keys: Vec<_> = page.rows.into_keys().map(|(day, _, label)| format!("{day} {label}")).collect();
        assert_eq!(keys, ["2026-01-01 standard", "2026-01-23 economy"]);
    }
}
