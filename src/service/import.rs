//! Import of a whole configuration: organizations with their applications, idempotent, with a dry run.
//!
//! Everything is checked before anything is written, so a file with a mistake changes nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::access::ProvisioningAccess;
use super::credentials::{IssuedCredentials, SecretDelivery};
use super::error::ServiceError;
use super::tenants::{OrgDraft, Put, PutOptions};
use super::{Result, Services};
use crate::domain::ids::{AppId, OrgId, Scope};
use crate::domain::tenant::{App, AppConfig, InvalidConfig, Org, OrgConfig, validate_app};

/// An organization and its applications, as a file has them.
#[derive(Debug, Clone)]
pub struct ImportOrg {
    /// Which organization.
    pub org_id: OrgId,
    /// Its configuration.
    pub draft: OrgDraft,
    /// Its applications. Applications that are not named stay as they are.
    pub apps: Vec<(AppId, AppConfig)>,
}

/// What happens, or would happen, to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// It exists with another configuration.
    Update,
    /// It exists with this configuration.
    Unchanged,
}

/// One resource of an import.
#[derive(Debug, Clone)]
pub struct Change {
    /// `orgs/{org_id}` or `orgs/{org_id}/apps/{app_id}`.
    pub resource: String,
    /// What happens to it.
    pub action: ChangeAction,
    /// Fields that differ, in the words of the configuration.
    pub fields: Vec<String>,
}

/// What an import came to.
#[derive(Debug)]
pub struct ImportReport {
    /// Whether it was carried out.
    pub applied: bool,
    /// One entry for each resource of the file, in its order.
    pub changes: Vec<Change>,
    /// Credentials of what was created.
    pub credentials: Vec<IssuedCredentials>,
}

impl Services {
    /// Imports organizations and applications; with `dry_run` only says what would change.
    ///
    /// # Errors
    /// [`ServiceError::InvalidConfig`] naming the place in the file; then nothing was changed. A failure of the store
    /// in the middle leaves what was done before; repeating the import completes it.
    pub async fn import(&self, access: &ProvisioningAccess, orgs: &[ImportOrg], dry_run: bool) -> Result<ImportReport> {
        let changes = self.plan(orgs).await?;
        let mut credentials = Vec::new();
        if !dry_run {
            let options = PutOptions { delivery: SecretDelivery::Token, create_only: false };
            for org in orgs {
                if let Put::Created(_, issued) = self.put_org(access, org.org_id, org.draft.clone(), options).await? {
                    credentials.push(issued);
                }
                for (app_id, config) in &org.apps {
                    let (put, _) = self.put_app(access, org.org_id, app_id.clone(), config.clone(), options).await?;
                    if let Put::Created(_, issued) = put {
                        credentials.push(issued);
                    }
                }
            }
        }
        Ok(ImportReport { applied: !dry_run, changes, credentials })
    }

    /// Checks the whole file against itself and the store.
    async fn plan(&self, orgs: &[ImportOrg]) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, org) in orgs.iter().enumerate() {
            let at = format!("orgs[{index}]");
            if !seen.insert(org.org_id) {
                return Err(InvalidConfig::new(format!("{at}.org_id"), "the organization is named twice").into());
            }
            let existing = self.storage.tenant(&Scope::org(org.org_id)).await?.map(|tenant| tenant.org);
            let config = self.org_config(org.draft.clone(), existing.as_ref()).map_err(|error| within(&at, error))?;
            self.check_unnamed_apps(&at, org, &config).await?;
            changes.push(org_change(org.org_id, existing.as_ref(), &config));
            self.plan_apps(&at, org, &config, &mut changes).await?;
        }
        Ok(changes)
    }

    async fn plan_apps(&self, at: &str, org: &ImportOrg, config: &OrgConfig, changes: &mut Vec<Change>) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (index, (app_id, app)) in org.apps.iter().enumerate() {
            let at = format!("{at}.apps[{index}]");
            if !seen.insert(app_id) {
                return Err(InvalidConfig::new(format!("{at}.app_id"), "the application is named twice").into());
            }
            let stored = self.storage.tenant(&Scope::app(org.org_id, app_id.clone())).await?;
            let (stored, profiles) = stored.map(|tenant| (tenant.app, tenant.profiles)).unwrap_or_default();
            let profiles: BTreeSet<_> = profiles.into_iter().map(|profile| profile.profile_label).collect();
            validate_app(app, config, &self.catalog, &profiles).map_err(|error| within(&at, error.into()))?;
            changes.push(app_change(org.org_id, app_id, stored.as_ref(), app));
        }
        Ok(())
    }

    /// Applications the file does not name stay, so they must still work with the new organization. Those it names
    /// are put after the organization, so their present configuration must fit it too, for that moment.
    async fn check_unnamed_apps(&self, at: &str, org: &ImportOrg, config: &OrgConfig) -> Result<()> {
        for app in self.all_apps(org.org_id).await? {
            let profiles = self.own_profiles(org.org_id, &app.app_id, &app.config).await?;
            validate_app(&app.config, config, &self.catalog, &profiles).map_err(|error| {
                let reason = format!("application {} could not work: {}", app.app_id, error.reason);
                ServiceError::from(InvalidConfig::new(format!("{at}.{}", error.field), reason))
            })?;
        }
        Ok(())
    }
}

/// Puts the place in the file before the field an error names.
fn within(at: &str, error: ServiceError) -> ServiceError {
    match error {
        ServiceError::InvalidConfig(InvalidConfig { field, reason }) => {
            InvalidConfig { field: format!("{at}.{field}"), reason }.into()
        }
        ServiceError::Conflict { message, field } => {
            ServiceError::Conflict { message: format!("{at}: {message}"), field }
        }
        other => other,
    }
}

fn change(resource: String, exists: bool, fields: Vec<String>) -> Change {
    let action = match (exists, fields.is_empty()) {
        (false, _) => ChangeAction::Create,
        (true, false) => ChangeAction::Update,
        (true, true) => ChangeAction::Unchanged,
    };
    Change { resource, action, fields }
}

fn org_change(org_id: OrgId, existing: Option<&Org>, config: &OrgConfig) -> Change {
    let fields = differing(existing.map(|org| &org.config), config);
    change(format!("orgs/{org_id}"), existing.is_some(), fields)
}

fn app_change(org_id: OrgId, app_id: &AppId, existing: Option<&App>, config: &AppConfig) -> Change {
    let fields = differing(existing.map(|app| &app.config), config);
    change(format!("orgs/{org_id}/apps/{app_id}"), existing.is_some(), fields)
}

/// Names of the top-level fields that differ; all of them for something new. Compared as JSON, the form in which both
/// are stored, so that a field added later is compared without anybody thinking of this place.
pub(super) fn differing<T: serde::Serialize>(before: Option<&T>, after: &T) -> Vec<String> {
    // What is empty is as good as not there: nobody set it.
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let object = |value: &T| match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map.into_iter().filter(|(_, value)| !empty(value)).collect(),
        _ => Map::new(),
    };
    let before = before.map(object).unwrap_or_default();
    let after = object(after);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
