//! Ending tenants: what it takes beyond a transaction.
//!
//! 1. One step marks the tenant `deleting` and takes away its entry and its credential. It is gone from then on.
//! 2. What belonged to it is deleted, in steps that each demand the mark. So whoever still clears up after a former
//!    life cannot touch the next one.
//! 3. The tenant itself is deleted, which frees its id.
//!
//! Whoever is interrupted leaves 2 and 3 to the next who deletes or creates a tenant of that id.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;

use super::attributes::{Item, corrupt, flag, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{self, APP_PREFIX, FALLBACK_MARK, Key};
use super::ledger_keys::LAST;
use super::tables::Table;
use super::tenants::ALIVE;
use super::writes::{Commit, MAX_STEPS, Step};
use crate::domain::calendar::{Calendar, Day};
use crate::domain::ids::{AppId, ClientId, OrgId, Scope};
use crate::storage::contract::Result;

/// Holds of a tenant that is being deleted.
const DELETING: &str = "attribute_exists(deleting)";
/// What no longer has to be read of an item that is about to be deleted.
const KEY_ONLY: &str = "pk, sk";
/// Zones are at most a day from UTC, and usage may belong to the day before the current one.
const DAYS_BEFORE: usize = 2;

impl DynamoDbStorage {
    /// Ends an organization; `false` where there was none, or somebody else ended it first.
    pub(super) async fn end_org(&self, org_id: OrgId) -> Result<bool> {
        let client = ClientId::of(Scope::org(org_id));
        let mark = self
            .update(&keys::org(org_id))
            .update_expression("SET deleting = :true")
            .condition_expression(ALIVE)
            .expression_attribute_values(":true", flag(true));
        let mut steps = vec![
            mark.step()?,
            self.delete(&keys::org_entry(org_id)).step()?,
            self.delete(&keys::credential(&client)).step()?,
        ];
        steps.extend(self.last_days_steps(org_id)?);
        let ended = match self.commit(steps).await? {
            Commit::Done => true,
            // Not registered, or being deleted.
            Commit::Refused(refusals) if refusals.item(0).is_none() => return Ok(false),
            Commit::Refused(_) => false,
        };
        self.finish_org_deletion(org_id).await?;
        Ok(ended)
    }

    /// Ends an application; `false` where there was none, or somebody else ended it first.
    pub(super) async fn end_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        let client = ClientId::of(Scope::app(org_id, app_id.clone()));
        let mark = self
            .update(&keys::app(org_id, app_id))
            .update_expression("SET deleting = :true")
            .condition_expression(ALIVE)
            .expression_attribute_values(":true", flag(true));
        // Who reads all profiles of an organization learns here which to leave out, without reading the applications.
        let note = self
            .update(&keys::org(org_id))
            .update_expression("ADD ending :app")
            .condition_expression(ALIVE)
            .expression_attribute_values(":app", set_of(app_id));
        let steps = vec![note.step()?, mark.step()?, self.delete(&keys::credential(&client)).step()?];
        let ended = match self.commit(steps).await? {
            Commit::Done => true,
            // Its organization is gone, or it is itself.
            Commit::Refused(refusals) if refusals.refused(0) || refusals.item(1).is_none() => return Ok(false),
            Commit::Refused(_) => false,
        };
        self.finish_app_deletion(org_id, app_id).await?;
        Ok(ended)
    }

    /// Deletes everything of an organization that is marked, and the organization. Does nothing where it is not marked.
    pub(super) async fn finish_org_deletion(&self, org_id: OrgId) -> Result<()> {
        let org = keys::org(org_id);
        let shards = keys::shards(org_id);
        let mut sweep = Sweep::new(self, &org);
        sweep.add(self.fallbacks_of_org(org_id).await?).await?;
        sweep.add(self.keys_of_client(&ClientId::of(Scope::org(org_id))).await?).await?;
        for member in self.keys_of(Table::Config, &org.pk, Range::default()).await? {
            if member == org || member == shards {
                continue;
            }
            // An application names its client, so it goes after it: an interrupted round finds what is left.
            if let Some(Ok(app_id)) = member.sk.strip_prefix(APP_PREFIX).map(str::parse) {
                sweep.add(self.keys_of_client(&ClientId::of(Scope::app(org_id, app_id))).await?).await?;
            }
            sweep.add([member]).await?;
        }
        if sweep.finish().await? {
            let delete = self.delete(&org).condition_expression(DELETING);
            self.commit(vec![delete.step()?]).await?;
        }
        Ok(())
    }

    /// Deletes everything of an application that is marked, and the application. Does nothing where it is not marked.
    pub(super) async fn finish_app_deletion(&self, org_id: OrgId, app_id: &AppId) -> Result<()> {
        let app = keys::app(org_id, app_id);
        let prefix = keys::profile_prefix(app_id);
        let profiles = Range { prefix: Some(&prefix), ..Range::default() };
        let mut sweep = Sweep::new(self, &app);
        sweep.add(self.fallbacks_of_app(org_id, app_id).await?).await?;
        sweep.add(self.keys_of_client(&ClientId::of(Scope::app(org_id, app_id.clone()))).await?).await?;
        sweep.add(self.keys_of(Table::Config, &app.pk, profiles).await?).await?;
        if sweep.finish().await? {
            let delete = self.delete(&app).condition_expression(DELETING);
            let forget = self
                .update(&keys::org(org_id))
                .update_expression("DELETE ending :app")
                // Not to make an item of an organization that is gone.
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":app", set_of(app_id));
            self.commit(vec![delete.step()?, forget.step()?]).await?;
        }
        Ok(())
    }

    /// Marks the last days of an organization: nobody looks at it any more, and what was just recorded may not be in its
    /// totals. Which days those are is told by the latest instant this instance heard of; where it heard of none, it
    /// recorded nothing either.
    fn last_days_steps(&self, org_id: OrgId) -> Result<Vec<TransactWriteItem>> {
        let Some(latest) = self.watermark.latest() else { return Ok(Vec::new()) };
        let by = format!("deleted#{}", latest.as_millisecond());
        days_around(latest).into_iter().map(|day| self.mark(org_id, day, &by).step()).collect()
    }

    async fn keys_of_client(&self, client_id: &ClientId) -> Result<Vec<Key>> {
        self.keys_of(Table::Config, &keys::client_partition(client_id), Range::default()).await
    }

    async fn keys_of(&self, table: Table, pk: &str, range: Range<'_>) -> Result<Vec<Key>> {
        let range = Range { attributes: Some(KEY_ONLY), consistent: true, ..range };
        let items = self.query(table, pk, &range).await?;
        items.iter().map(|item| Key::of(table, item)).collect()
    }

    /// Fallback states of an application. It has at most one item a label and month among its totals, and the states
    /// lie before them; stepping from month to month reads little else.
    async fn fallbacks_of_app(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<Key>> {
        let partition = org_id.to_string();
        let mut found = Vec::new();
        let mut from = String::new();
        while let Some((month, _)) = self.first_total(&partition, &from).await? {
            found.extend(self.fallbacks_under(&partition, &keys::totals_prefix(&month, Some(app_id))).await?);
            from = format!("{month}{}", after('#'));
        }
        Ok(found)
    }

    /// Fallback states of an organization and everything in it.
    async fn fallbacks_of_org(&self, org_id: OrgId) -> Result<Vec<Key>> {
        let partition = org_id.to_string();
        let mut found = Vec::new();
        let mut from = String::new();
        while let Some((month, app)) = self.first_total(&partition, &from).await? {
            found.extend(self.fallbacks_under(&partition, &format!("{month}#{app}#")).await?);
            from = format!("{month}#{app}{}", after('#'));
        }
        Ok(found)
    }

    async fn fallbacks_under(&self, partition: &str, prefix: &str) -> Result<Vec<Key>> {
        let prefix = format!("{prefix}{FALLBACK_MARK}");
        self.keys_of(Table::Totals, partition, Range { prefix: Some(&prefix), ..Range::default() }).await
    }

    /// Month and application of the first total or fallback state at or after a sort key.
    async fn first_total(&self, partition: &str, from: &str) -> Result<Option<(String, String)>> {
        // An empty key cannot be compared with.
        let from = if from.is_empty() { "!" } else { from };
        let range = Range {
            between: Some((from, LAST)),
            limit: Some(1),
            attributes: Some(KEY_ONLY),
            consistent: true,
            ..Range::default()
        };
        let items = self.query(Table::Totals, partition, &range).await?;
        items.first().map(month_and_app).transpose()
    }
}

/// Deletes items in order while their tenant is marked, as many at a time as a transaction takes.
struct Sweep<'a> {
    storage: &'a DynamoDbStorage,
    marked: &'a Key,
    pending: Vec<Key>,
    /// Somebody else finished: the tenant is gone, or in its next life.
    is_over: bool,
}

impl<'a> Sweep<'a> {
    fn new(storage: &'a DynamoDbStorage, marked: &'a Key) -> Self {
        Self { storage, marked, pending: Vec::new(), is_over: false }
    }

    async fn add(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<()> {
        for key in keys {
            self.pending.push(key);
            // One step is the demand for the mark.
            if self.pending.len() >= MAX_STEPS - 1 {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Deletes what is left; `false` where somebody else finished first.
    async fn finish(mut self) -> Result<bool> {
        self.flush().await?;
        Ok(!self.is_over)
    }

    async fn flush(&mut self) -> Result<()> {
        if self.is_over || self.pending.is_empty() {
            self.pending.clear();
            return Ok(());
        }
        let mut steps = vec![self.storage.check(self.marked).condition_expression(DELETING).step()?];
        for key in self.pending.drain(..) {
            steps.push(self.storage.delete(&key).step()?);
        }
        self.is_over = matches!(self.storage.commit(steps).await?, Commit::Refused(_));
        Ok(())
    }
}

/// The character after another: keys that go on with it come after all that go on with the other.
fn after(character: char) -> char {
    char::from_u32(u32::from(character) + 1).unwrap_or(char::MAX)
}

fn month_and_app(item: &Item) -> Result<(String, String)> {
    let mut parts = text(item, "totals.sk")?.splitn(3, '#');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(month), Some(app), Some(_)) => Ok((month.to_owned(), app.to_owned())),
        _ => Err(corrupt("totals.sk")),
    }
}

fn set_of(app_id: &AppId) -> AttributeValue {
    AttributeValue::Ss(vec![app_id.to_string()])
}

/// The days that usage around an instant may belong to, in any zone.
fn days_around(instant: Timestamp) -> Vec<Day> {
    let Ok(utc) = Calendar::new("UTC") else { return Vec::new() };
    let today = utc.day_of(instant);
    let earlier = std::iter::successors(today.previous(), |day| day.previous()).take(DAYS_BEFORE);
    today.next().into_iter().chain([today]).chain(earlier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_belongs_to_a_day_around_its_instant_in_any_zone() {
        let days = days_around("2026-03-01T12:00:00Z".parse().unwrap());
        let days: Vec<_> = days.iter().map(Day::to_string).collect();
        assert_eq!(days, ["2026-03-02", "2026-03-01", "2026-02-28", "2026-02-27"]);
    }
}
