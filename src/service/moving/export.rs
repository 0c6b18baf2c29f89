//! Everything that moves, written line by line.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use super::lines::{Content, Header, MovedApp, MovedCredential, MovedOrg, MovedTotal};
use super::writer::{ExportWriter, Exported};
use crate::domain::calendar::Day;
use crate::domain::ids::{ClientId, OrgId, Scope};
use crate::domain::tenant::{App, Org};
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;
use crate::service::{Result, Services};
use crate::storage::{Breakdown, StorageError};

/// Organizations, and applications of one, read at once: some kilobytes each.
const TENANTS_PAGE: u32 = 100;
/// Daily totals read at once: some hundred bytes each, and few round trips for a year of them.
pub(super) const TOTALS_PAGE: u32 = 500;

/// Why an export did not finish.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// It could not be read.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StorageError> for ExportError {
    fn from(error: StorageError) -> Self {
        Self::Service(error.into())
    }
}

/// Every day there can be: submissions are accepted by their timestamps, whose years have four digits.
fn every_day() -> Result<RangeInclusive<Day>> {
    let day = |text: &str| text.parse::<Day>().map_err(ServiceError::from);
    Ok(day("0001-01-01")?..=day("9999-12-31")?)
}

impl Services {
    /// Writes organizations, applications, credentials, profiles and daily totals of all applications as JSON lines.
    ///
    /// Nobody should write to the store meanwhile: the pages of an export are not one snapshot. Two exports of the same
    /// content differ in their first and last lines only.
    ///
    /// # Errors
    /// [`ExportError`]; then what was written is no export, which its reader finds out. [`ServiceError::Conflict`]
    /// where a tenant was deleted in the middle.
    pub async fn export_everything(
        &self,
        access: &ProvisioningAccess,
        out: impl Write,
    ) -> Result<Exported, ExportError> {
        self.consolidate_everything().await?;
        let backend = self.storage.backend().to_owned();
        let mut writer = ExportWriter::begin(out, Header { backend, exported_at: self.now() })?;
        let mut after = None;
        loop {
            let page = self.storage.list_orgs(after, TENANTS_PAGE).await?;
            let full = page.len() >= TENANTS_PAGE as usize;
            after = page.last().map(|org| org.org_id);
            for org in page {
                self.export_org(&mut writer, org).await?;
            }
            if !full {
                break;
            }
        }
        let exported = writer.end()?;
        tracing::info!(
            admin_key = access.key_id(),
            orgs = exported.orgs,
            apps = exported.apps,
            totals = exported.totals,
            "exported"
        );
        Ok(exported)
    }

    async fn export_org<W: Write>(&self, writer: &mut ExportWriter<W>, org: Org) -> Result<(), ExportError> {
        let org_id = org.org_id;
        let credential = self.credential_to_move(Scope::org(org_id)).await?;
        writer.add(&Content::Org(Box::new(MovedOrg { org, credential })))?;
        let mut after = None;
        loop {
            let page = self.storage.list_apps(org_id, after.as_ref(), TENANTS_PAGE).await?;
            let full = page.len() >= TENANTS_PAGE as usize;
            after = page.last().map(|app| app.app_id.clone());
            for app in page {
                self.export_app(writer, app).await?;
            }
            if !full {
                break;
            }
        }
        self.export_totals(writer, org_id).await
    }

    async fn export_app<W: Write>(&self, writer: &mut ExportWriter<W>, app: App) -> Result<(), ExportError> {
        let (org_id, app_id) = (app.org_id, app.app_id.clone());
        let credential = self.credential_to_move(Scope::app(org_id, app_id.clone())).await?;
        writer.add(&Content::App(Box::new(MovedApp { app, credential })))?;
        for profile in self.storage.profiles(org_id, &app_id).await? {
            writer.add(&Content::Profile(profile))?;
        }
        Ok(())
    }

    /// Totals of applications that were deleted too: their organization's sums contain them.
    async fn export_totals<W: Write>(&self, writer: &mut ExportWriter<W>, org_id: OrgId) -> Result<(), ExportError> {
        let days = every_day()?;
        let mut after = None;
        loop {
            let page = self
                .storage
                .daily_totals(org_id, Breakdown::EveryApp, days.clone(), after.as_ref(), TOTALS_PAGE)
                .await?;
            let full = page.len() >= TOTALS_PAGE as usize;
            after = page.last().map(super::compare::key_of);
            for total in page {
                let total = MovedTotal::of(org_id, total)
                    .ok_or_else(|| ServiceError::Internal("a total of an application names none".to_owned()))?;
                writer.add(&Content::Total(total))?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn credential_to_move(&self, scope: Scope) -> Result<MovedCredential, ExportError> {
        let client_id = ClientId::of(scope);
        let credential = self.storage.credential(&client_id).await?;
        let credential = credential.as_ref().map(MovedCredential::of).ok_or_else(|| {
            // The two are stored and deleted together.
            ServiceError::conflict(format!(
                "{client_id} was deleted during the export: stop whatever changes the store and export again"
            ))
        })?;
        Ok(credential)
    }
}
