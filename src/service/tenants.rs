//! Provisioning of organizations and applications.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::access::ProvisioningAccess;
use super::audit::Entry;
use super::credentials::{IssuedCredentials, SecretDelivery, not_registered};
use super::error::ServiceError;
use super::{Result, Services};
use crate::domain::audit::AuditAction;
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, Scope};
use crate::domain::rate_limits::OrgRateLimits;
use crate::domain::tenant::{
    App, AppConfig, Effective, InvalidConfig, Org, OrgConfig, Overrides, QuotaScope, Quotas, validate_app, validate_org,
};
use crate::storage::{StorageError, Tenant};

/// Applications read at once where all of an organization are needed.
const PAGE: u32 = 200;
/// Rounds of "create, or else update": the second is only needed where somebody else created it in between.
const MAX_ROUNDS: usize = 3;

/// An organization's configuration as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgDraft {
    /// Name for people.
    pub org_name: String,
    /// IANA time zone.
    pub timezone: String,
    /// Who spends a quota.
    pub quota_scope: QuotaScope,
    /// Labels in order of preference.
    pub model_ordering: Vec<ModelLabel>,
    /// Daily quotas.
    pub quotas: Quotas,
    /// Monthly quotas.
    pub monthly_quotas: Quotas,
    /// Counter shards; unset keeps the present number, or takes the default for a new organization.
    pub agg_shard_count: Option<u8>,
    /// Overrides of the service's defaults.
    pub overrides: Overrides,
    /// Rate limits of each of its clients.
    pub rate_limits: OrgRateLimits,
}

impl OrgDraft {
    fn into_config(self, agg_shard_count: u8) -> OrgConfig {
        OrgConfig {
            org_name: self.org_name,
            timezone: self.timezone,
            quota_scope: self.quota_scope,
            model_ordering: self.model_ordering,
            quotas: self.quotas,
            monthly_quotas: self.monthly_quotas,
            agg_shard_count,
            overrides: self.overrides,
            rate_limits: self.rate_limits,
        }
    }
}

/// How a configuration is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// How the secret of what is created is delivered.
    pub delivery: SecretDelivery,
    /// Whether something that exists is refused instead of replaced.
    pub create_only: bool,
}

/// What a put came to.
#[derive(Debug)]
pub enum Put<T> {
    /// It is new; these are its credentials.
    Created(T, IssuedCredentials),
    /// It existed and has this configuration now.
    Updated(T),
    /// It existed with exactly this configuration.
    Unchanged(T),
}

impl Services {
    /// Creates an organization, or replaces its configuration and keeps its credentials.
    ///
    /// # Errors
    /// [`ServiceError::InvalidConfig`] for what is impossible, [`ServiceError::Conflict`] for a changed shard count or
    /// a lost update, [`ServiceError::AlreadyExists`] where only creation was asked for.
    pub async fn put_org(
        &self,
        access: &ProvisioningAccess,
        org_id: OrgId,
        draft: OrgDraft,
        options: PutOptions,
    ) -> Result<Put<Org>> {
        for _ in 0..MAX_ROUNDS {
            let now = self.now();
            let existing = self.storage.tenant(&Scope::org(org_id)).await?.map(|tenant| tenant.org);
            let config = self.org_config(draft.clone(), existing.as_ref())?;
            if let Some(existing) = existing {
                if options.create_only {
                    return Err(ServiceError::AlreadyExists("organization"));
                }
                return self.update_org(access, existing, config, now).await;
            }
            let (client, issued) = self.new_client(&ClientId::of(Scope::org(org_id)), options.delivery)?;
            let org = Org { org_id, config, version: 1, created_at: now, updated_at: now };
            let entry = Entry::new(AuditAction::OrgCreated, Scope::org(org_id)).states(None, Some(&org.config));
            match self
                .audited(access.by(), entry, self.org_write(self.storage.create_org(&org, &client)), |()| true)
                .await?
            {
                Ok(()) => return Ok(Put::Created(org, issued)),
                Err(StorageError::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::conflict("the organization kept being created and deleted at the same time"))
    }

    /// The configuration a draft asks for, validated. A shard count may be repeated but not changed.
    pub(crate) fn org_config(&self, draft: OrgDraft, existing: Option<&Org>) -> Result<OrgConfig> {
        let present = existing.map(|org| org.config.agg_shard_count);
        let shards = match (draft.agg_shard_count, present) {
            (Some(asked), Some(present)) if asked != present => {
                return Err(ServiceError::Conflict {
                    message: format!("overrides.agg_shard_count is {present} since creation and cannot change"),
                    field: Some("overrides.agg_shard_count"),
                });
            }
            (Some(shards), _) | (None, Some(shards)) => shards,
            (None, None) => self.defaults.agg_shard_count,
        };
        let config = draft.into_config(shards);
        validate_org(&config, &self.catalog)?;
        Ok(config)
    }

    /// A write of an organization, after which its rate limits are read again. Also where it failed: it may have reached
    /// the store all the same.
    async fn org_write<T>(&self, write: impl Future<Output = T> + Send) -> T {
        let written = write.await;
        if let Some(limiter) = &self.rate_limiter {
            limiter.org_changed();
        }
        written
    }

    async fn update_org(
        &self,
        access: &ProvisioningAccess,
        existing: Org,
        config: OrgConfig,
        now: Timestamp,
    ) -> Result<Put<Org>> {
        if existing.config == config {
            return Ok(Put::Unchanged(existing));
        }
        self.check_apps_against(existing.org_id, &config).await?;
        let expected = existing.version;
        let entry = Entry::new(AuditAction::OrgUpdated, Scope::org(existing.org_id))
            .states(Some(&existing.config), Some(&config));
        let org = Org { config, version: expected.saturating_add(1), updated_at: now, ..existing };
        self.audited(access.by(), entry, self.org_write(self.storage.update_org(&org, expected)), |()| true).await??;
        Ok(Put::Updated(org))
    }

    /// An organization must not take away what its applications need, such as a quota of a label they order.
    async fn check_apps_against(&self, org_id: OrgId, config: &OrgConfig) -> Result<()> {
        for app in self.all_apps(org_id).await? {
            let profiles = self.own_profiles(org_id, &app.app_id, &app.config).await?;
            validate_app(&app.config, config, &self.catalog, &profiles).map_err(|error| {
                InvalidConfig::new(error.field, format!("application {} could not work: {}", app.app_id, error.reason))
            })?;
        }
        Ok(())
    }

    /// Every application of an organization, read in pages.
    pub(crate) async fn all_apps(&self, org_id: OrgId) -> Result<Vec<App>> {
        let mut apps: Vec<App> = Vec::new();
        loop {
            let page = self.storage.list_apps(org_id, apps.last().map(|app| &app.app_id), PAGE).await?;
            let last = page.len() < PAGE as usize;
            apps.extend(page);
            if last {
                return Ok(apps);
            }
        }
    }

    /// Creates an application, or replaces its configuration and keeps its credentials.
    ///
    /// # Errors
    /// As [`put_org`](Self::put_org), and [`ServiceError::NotFound`] where the organization is not registered.
    pub async fn put_app(
        &self,
        access: &ProvisioningAccess,
        org_id: OrgId,
        app_id: AppId,
        config: AppConfig,
        options: PutOptions,
    ) -> Result<(Put<App>, Org)> {
        let scope = Scope::app(org_id, app_id.clone());
        for _ in 0..MAX_ROUNDS {
            let now = self.now();
            let tenant = self.storage.tenant(&scope).await?.ok_or(ServiceError::NotFound("organization"))?;
            let profiles: BTreeSet<_> = tenant.profiles.into_iter().map(|profile| profile.profile_label).collect();
            validate_app(&config, &tenant.org.config, &self.catalog, &profiles)?;
            if let Some(existing) = tenant.app {
                if options.create_only {
                    return Err(ServiceError::AlreadyExists("application"));
                }
                return Ok((self.update_app(access, existing, config, now).await?, tenant.org));
            }
            let (client, issued) = self.new_client(&ClientId::of(scope.clone()), options.delivery)?;
            let app = App {
                org_id,
                app_id: app_id.clone(),
                config: config.clone(),
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let entry = Entry::new(AuditAction::AppCreated, scope.clone()).states(None, Some(&app.config));
            match self.audited(access.by(), entry, self.storage.create_app(&app, &client), |()| true).await? {
                Ok(()) => return Ok((Put::Created(app, issued), tenant.org)),
                // Created, or its organization deleted, in between: look again.
                Err(StorageError::AlreadyExists | StorageError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::conflict("the application kept being created and deleted at the same time"))
    }

    async fn update_app(
        &self,
        access: &ProvisioningAccess,
        existing: App,
        config: AppConfig,
        now: Timestamp,
    ) -> Result<Put<App>> {
        if existing.config == config {
            return Ok(Put::Unchanged(existing));
        }
        let expected = existing.version;
        let entry = Entry::new(AuditAction::AppUpdated, Scope::app(existing.org_id, existing.app_id.clone()))
            .states(Some(&existing.config), Some(&config));
        let app = App { config, version: expected.saturating_add(1), updated_at: now, ..existing };
        self.audited(access.by(), entry, self.storage.update_app(&app, expected), |()| true).await??;
        Ok(Put::Updated(app))
    }

    /// A registered organization or application.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn get_tenant(&self, _access: &ProvisioningAccess, scope: &Scope) -> Result<(Tenant, Effective)> {
        self.registered(scope).await
    }

    /// A page of organizations.
    ///
    /// # Errors
    /// From the store.
    pub async fn list_orgs(&self, _access: &ProvisioningAccess, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
        Ok(self.storage.list_orgs(after, limit).await?)
    }

    /// A page of an organization's applications.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the organization is not registered.
    pub async fn list_apps(
        &self,
        _access: &ProvisioningAccess,
        org_id: OrgId,
        after: Option<&AppId>,
        limit: u32,
    ) -> Result<(Org, Vec<App>)> {
        let (tenant, _) = self.registered(&Scope::org(org_id)).await?;
        Ok((tenant.org, self.storage.list_apps(org_id, after, limit).await?))
    }

    /// Ends an organization with everything that belongs to it, except recorded usage.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn delete_org(&self, access: &ProvisioningAccess, org_id: OrgId) -> Result<()> {
        let scope = Scope::org(org_id);
        self.credential_of(&scope).await?;
        let config = self.storage.tenant(&scope).await?.map(|tenant| tenant.org.config);
        let entry = Entry::new(AuditAction::OrgDeleted, scope.clone()).states(config.as_ref(), None);
        match self
            .audited(access.by(), entry, self.org_write(self.storage.delete_org(org_id)), |deleted| *deleted)
            .await??
        {
            true => Ok(()),
            false => Err(not_registered(&scope)),
        }
    }

    /// Ends an application, except its recorded usage.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn delete_app(&self, access: &ProvisioningAccess, org_id: OrgId, app_id: &AppId) -> Result<()> {
        let scope = Scope::app(org_id, app_id.clone());
        self.credential_of(&scope).await?;
        let config = self.storage.tenant(&scope).await?.and_then(|tenant| tenant.app).map(|app| app.config);
        let entry = Entry::new(AuditAction::AppDeleted, scope.clone()).states(config.as_ref(), None);
        match self.audited(access.by(), entry, self.storage.delete_app(org_id, app_id), |deleted| *deleted).await?? {
            true => Ok(()),
            false => Err(not_registered(&scope)),
        }
    }
}
