//! Organizations and applications.
//!
//! Ending one takes more writes than a transaction has. So it is marked first, in one step with everything that makes it
//! exist for others; from then on it is gone for every reader and writer, and [`deletion`](super::deletion) clears up.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attributes::{Item, instant_of, is_set, item, ms, n, number, parsed, s, text};
use super::calls::Range;
use super::connect::DynamoDbStorage;
use super::keys::{self, APP_PREFIX, SK};
use super::profiles::profile_of;
use super::tables::Table;
use super::writes::{Commit, Step};
use crate::domain::ids::{AppId, OrgId, Scope};
use crate::domain::tenant::{App, Org};
use crate::storage::contract::{NewClient, Result, Tenant, Tenants};
use crate::storage::error::StorageError;

/// Holds of a tenant that exists and is not being deleted.
pub(super) const ALIVE: &str = "attribute_exists(pk) AND attribute_not_exists(deleting)";

/// Rounds of creating a tenant and finishing the deletion of its former life. Each further one means that somebody
/// created and deleted it in between.
const MAX_ROUNDS: u32 = 5;

#[async_trait]
impl Tenants for DynamoDbStorage {
    async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let create = self.put(&keys::org(org.org_id), org_attributes(org)?);
            let mut steps = vec![create.condition_expression("attribute_not_exists(pk)").step()?];
            steps.push(self.put(&keys::org_entry(org.org_id), Item::new()).step()?);
            steps.extend(self.client_steps(client)?);
            steps.extend(self.shards_step(org).await?);
            let refusals = match self.commit(steps).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(refusals) => refusals,
            };
            match refusals.item(0) {
                Some(present) if is_alive(Some(present)) => return Err(StorageError::AlreadyExists),
                Some(_) => self.finish_org_deletion(org.org_id).await?,
                // It ended, or its shard count grew, since it was read.
                None => {}
            }
        }
        Err(others_are_at_it())
    }

    async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
        let update = change(self.update(&keys::org(org.org_id)), &org.config, org.version, expected_version)?;
        let update = update.expression_attribute_values(":updated", ms(org.updated_at));
        match self.commit(vec![update.step()?]).await? {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StorageError::Conflict),
        }
    }

    async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
        self.end_org(org_id).await
    }

    async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        let mut orgs = Vec::new();
        let mut after = after.map(|org_id| org_id.to_string());
        let limit = limit as usize;
        // A page may have lost entries since it was read, and an empty answer says that there are no more.
        while orgs.len() < limit {
            let left = limit - orgs.len();
            let range = Range { after: after.as_deref(), limit: Some(left), consistent: true, ..Range::default() };
            let entries = self.query(Table::Config, keys::ORGS, &range).await?;
            let ids = entries.iter().map(|entry| parsed(entry, "config.sk")).collect::<Result<Vec<OrgId>>>()?;
            let found = self.batch_get(ids.iter().map(|id| keys::org(*id)), true).await?;
            for org_id in &ids {
                if let Some(item) = found.get(&keys::org(*org_id)).filter(|item| is_alive(Some(item))) {
                    orgs.push(org_of(*org_id, item)?);
                }
            }
            match ids.last() {
                Some(last) if ids.len() == left => after = Some(last.to_string()),
                _ => break,
            }
        }
        Ok(orgs)
    }

    async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let create = self.put(&keys::app(app.org_id, &app.app_id), app_attributes(app)?);
            let mut steps =
                vec![self.alive_step(app.org_id)?, create.condition_expression("attribute_not_exists(pk)").step()?];
            steps.extend(self.client_steps(client)?);
            let refusals = match self.commit(steps).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(refusals) => refusals,
            };
            if refusals.refused(0) {
                return Err(StorageError::Conflict);
            }
            match refusals.item(1) {
                Some(present) if is_alive(Some(present)) => return Err(StorageError::AlreadyExists),
                Some(_) => self.finish_app_deletion(app.org_id, &app.app_id).await?,
                None => {}
            }
        }
        Err(others_are_at_it())
    }

    async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
        let key = keys::app(app.org_id, &app.app_id);
        let update = change(self.update(&key), &app.config, app.version, expected_version)?;
        let update = update.expression_attribute_values(":updated", ms(app.updated_at));
        match self.commit(vec![update.step()?, self.alive_step(app.org_id)?]).await? {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StorageError::Conflict),
        }
    }

    async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
        self.end_app(org_id, app_id).await
    }

    async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
        let limit = limit as usize;
        let mut apps = Vec::new();
        let mut after = after.map(|app_id| keys::app(org_id, app_id).sk);
        let partition = keys::org_partition(org_id);
        while apps.len() < limit {
            let left = limit - apps.len();
            let range = Range {
                prefix: Some(APP_PREFIX),
                after: after.as_deref(),
                limit: Some(left),
                consistent: true,
                ..Range::default()
            };
            let page = self.query(Table::Config, &partition, &range).await?;
            for item in page.iter().filter(|item| is_alive(Some(item))) {
                apps.push(app_of(org_id, item)?);
            }
            match page.last() {
                Some(last) if page.len() == left => after = Some(text(last, SK)?.to_owned()),
                _ => break,
            }
        }
        // Read last: where the organization is alive now, so it was when its applications were read, or they are those
        // of a former life at an instant when that was not over.
        let alive = apps.is_empty() || is_alive(self.get(&keys::org(org_id), true).await?.as_ref());
        Ok(if alive { apps } else { Vec::new() })
    }

    async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
        let org_key = keys::org(scope.org_id);
        let Some(app_id) = &scope.app_id else {
            let item = self.get(&org_key, true).await?.filter(|item| is_alive(Some(item)));
            return item.map(|item| org_of(scope.org_id, &item).map(Tenant::of_org)).transpose();
        };
        let app_key = keys::app(scope.org_id, app_id);
        let (found, profiles) = tokio::try_join!(
            self.batch_get([org_key.clone(), app_key.clone()], true),
            self.profile_items(scope.org_id, app_id)
        )?;
        let Some(org) = found.get(&org_key).filter(|item| is_alive(Some(item))) else { return Ok(None) };
        let org = org_of(scope.org_id, org)?;
        let Some(app) = found.get(&app_key).filter(|item| is_alive(Some(item))) else {
            return Ok(Some(Tenant::of_org(org)));
        };
        let profiles = profiles.iter().map(|item| profile_of(scope.org_id, item)).collect::<Result<_>>()?;
        Ok(Some(Tenant { org, app: Some(app_of(scope.org_id, app)?), profiles }))
    }
}

impl DynamoDbStorage {
    /// Demands that an organization exists and is not being deleted.
    pub(super) fn alive_step(&self, org_id: OrgId) -> Result<TransactWriteItem> {
        self.check(&keys::org(org_id)).condition_expression(ALIVE).step()
    }

    /// Notes the shard count of an organization, where its former lives had none as large.
    async fn shards_step(&self, org: &Org) -> Result<Option<TransactWriteItem>> {
        let key = keys::shards(org.org_id);
        let count = u32::from(org.config.agg_shard_count);
        let known = self.get(&key, true).await?;
        let known: Option<u32> = known.map(|item| number(&item, "config.n")).transpose()?;
        if known.is_some_and(|known| known >= count) {
            return Ok(None);
        }
        let note = self
            .update(&key)
            .update_expression("SET n = :count")
            .condition_expression("attribute_not_exists(n) OR n < :count")
            .expression_attribute_values(":count", n(count));
        note.step().map(Some)
    }
}

/// Whether a tenant's item is there and not being deleted.
pub(super) fn is_alive(item: Option<&Item>) -> bool {
    item.is_some_and(|item| !is_set(item, "config.deleting"))
}

fn others_are_at_it() -> StorageError {
    StorageError::Unavailable("others keep creating and deleting this tenant".to_owned())
}

fn change<T: Serialize>(update: UpdateBuilder, config: &T, version: u64, expected: u64) -> Result<UpdateBuilder> {
    Ok(update
        .update_expression("SET cfg = :cfg, ver = :ver, updated = :updated")
        .condition_expression("ver = :expected AND attribute_not_exists(deleting)")
        .expression_attribute_values(":cfg", s(to_json(config)?))
        .expression_attribute_values(":ver", n(version))
        .expression_attribute_values(":expected", n(expected)))
}

fn org_attributes(org: &Org) -> Result<Item> {
    Ok(item([
        ("cfg", s(to_json(&org.config)?)),
        ("ver", n(org.version)),
        ("created", ms(org.created_at)),
        ("updated", ms(org.updated_at)),
    ]))
}

fn org_of(org_id: OrgId, item: &Item) -> Result<Org> {
    Ok(Org {
        org_id,
        config: from_json(item)?,
        version: number(item, "config.ver")?,
        created_at: instant_of(item, "config.created")?,
        updated_at: instant_of(item, "config.updated")?,
    })
}

fn app_attributes(app: &App) -> Result<Item> {
    Ok(item([
        ("cfg", s(to_json(&app.config)?)),
        ("ver", n(app.version)),
        ("created", ms(app.created_at)),
        ("updated", ms(app.updated_at)),
        // How many it has.
        ("profiles", n(0)),
    ]))
}

fn app_of(org_id: OrgId, item: &Item) -> Result<App> {
    let app_id = text(item, "config.sk")?.strip_prefix(APP_PREFIX).and_then(|app_id| app_id.parse().ok());
    Ok(App {
        org_id,
        app_id: app_id.ok_or_else(|| StorageError::Corrupt("config.sk".to_owned()))?,
        config: from_json(item)?,
        version: number(item, "config.ver")?,
        created_at: instant_of(item, "config.created")?,
        updated_at: instant_of(item, "config.updated")?,
    })
}

fn to_json<T: Serialize>(config: &T) -> Result<String> {
    // Cannot fail for our types: maps have string keys.
    serde_json::to_string(config).map_err(|_| StorageError::Backend("the configuration is not JSON".to_owned()))
}

fn from_json<T: DeserializeOwned>(item: &Item) -> Result<T> {
    // The error of the JSON reader quotes what it read; its place is enough.
    serde_json::from_str(text(item, "config.cfg")?)
        .map_err(|error| StorageError::Corrupt(format!("config.cfg:{}", error.column())))
}
