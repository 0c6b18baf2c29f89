//! An export, taken over by another store.
//!
//! Whatever is here already with the same content is skipped, so an import that was interrupted is completed by
//! repeating it. What is here with other content is never changed.

use std::io::{self, BufRead, Seek};

use uuid::Uuid;

use super::compare::{app_differences, org_differences, profile_differences};
use super::lines::{Content, MovedApp, MovedOrg};
use super::reader::{ExportReader, FileError, Verified, verify};
use super::report::{Findings, MoveReport, Tally};
use super::totals::Totals;
use crate::domain::audit::AuditAction;
use crate::domain::ids::{ClientId, Scope};
use crate::domain::profile::{InferenceProfile, MAX_PROFILES_PER_APP};
use crate::service::access::{ProvisioningAccess, Requester};
use crate::service::audit::Entry;
use crate::service::error::ServiceError;
use crate::service::profiles::AuditedProfile;
use crate::service::{Result, Services};
use crate::storage::{ProfileCreation, StorageError, Tenant};

/// Rounds of "look, then create": a further one is only needed where an answer was lost, or somebody else creates the
/// same at the same time.
const MAX_ROUNDS: usize = 3;

/// Why an import did not finish.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not a whole export. Nothing was imported.
    #[error("the file {0}")]
    File(#[from] FileError),
    /// The file was whole, and could not be read or changed while it was imported. What was imported stays.
    #[error("the file {0}")]
    FileLost(FileError),
    /// What is here under the same ids has other content. Nothing was imported.
    #[error(
        "{} of the file's resources are here with other content; what differs:{}",
        .0.count,
        .0.first.iter().map(|conflict| format!("\n  {conflict}")).collect::<String>()
    )]
    Conflicts(Findings),
    /// The store, or somebody else who uses it, stood against it. What was imported stays; the same import completes
    /// it.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StorageError> for ImportError {
    fn from(error: StorageError) -> Self {
        Self::Service(error.into())
    }
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::File(error.into())
    }
}

impl Services {
    /// Imports a file that [`export_everything`](Self::export_everything) wrote; with `dry_run` only says what would
    /// happen.
    ///
    /// The file is verified as a whole first, and then compared with what is here, so that neither a damaged file nor a
    /// conflict changes anything. Every client gets a new token epoch: access tokens of the old store are not good
    /// here.
    ///
    /// # Errors
    /// [`ImportError`], which says whether anything was imported.
    pub async fn import_everything<R: BufRead + Seek>(
        &self,
        access: &ProvisioningAccess,
        file: &mut R,
        dry_run: bool,
    ) -> Result<MoveReport, ImportError> {
        file.rewind()?;
        let verified = verify(&mut *file)?;
        if dry_run {
            return Importing::run(self, access.by(), file, &verified, Mode::DryRun).await;
        }
        let checked = Importing::run(self, access.by(), file, &verified, Mode::Check).await?;
        if !checked.conflicts.is_empty() {
            return Err(ImportError::Conflicts(checked.conflicts));
        }
        let applied = Importing::run(self, access.by(), file, &verified, Mode::Apply).await;
        let report = applied.map_err(|error| match error {
            ImportError::File(error) => ImportError::FileLost(error),
            other => other,
        })?;
        tracing::info!(
            admin_key = access.key_id(),
            orgs = report.orgs.new,
            apps = report.apps.new,
            totals = report.totals.new,
            "an export was imported"
        );
        Ok(report)
    }
}

/// What is done with the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Resources are compared; totals are not looked at.
    Check,
    /// Everything is compared.
    DryRun,
    /// Everything that is not here is written.
    Apply,
}

/// What one line comes to.
enum Found {
    New,
    Same,
    Other(Vec<String>),
}

/// One walk through a verified file.
struct Importing<'a> {
    services: &'a Services,
    by: &'a Requester,
    mode: Mode,
    report: MoveReport,
    /// Profiles that the application of the lines at hand has here.
    profiles: Vec<InferenceProfile>,
    totals: Totals<'a>,
}

impl<'a> Importing<'a> {
    async fn run<R: BufRead + Seek>(
        services: &'a Services,
        by: &'a Requester,
        file: &mut R,
        verified: &Verified,
        mode: Mode,
    ) -> Result<MoveReport, ImportError> {
        file.rewind()?;
        let mut lines = ExportReader::new(file);
        let mut importing = Self {
            services,
            by,
            mode,
            report: MoveReport::new(verified.clone(), mode == Mode::Apply),
            profiles: Vec::new(),
            totals: Totals::new(services, mode),
        };
        while let Some(content) = lines.next_content()? {
            importing.line(content).await?;
        }
        importing.totals.flush(&mut importing.report).await?;
        match lines.verified()? == *verified {
            true => Ok(importing.report),
            false => Err(FileError::Changed.into()),
        }
    }

    async fn line(&mut self, content: Content) -> Result<(), ImportError> {
        match content {
            Content::Org(moved) => {
                let org_id = moved.org.org_id;
                self.totals.begin(org_id, &mut self.report).await?;
                let found = self.org(&moved).await?;
                self.note(found, &resource(&Scope::org(org_id)), |report| &mut report.orgs)
            }
            Content::App(moved) => {
                let found = self.app(&moved).await?;
                let scope = Scope::app(moved.app.org_id, moved.app.app_id.clone());
                self.note(found, &resource(&scope), |report| &mut report.apps)
            }
            Content::Profile(profile) => {
                let scope = Scope::app(profile.org_id, profile.app_id.clone());
                let resource = format!("{}/inference-profiles/{}", resource(&scope), profile.profile_label);
                let found = self.profile(profile).await?;
                self.note(found, &resource, |report| &mut report.profiles)
            }
            Content::Total(total) => self.totals.add(total, &mut self.report).await,
        }
    }

    /// With a new epoch of its own no token of the old store, or of an earlier life here, is good for a client.
    fn new_epoch(&self) -> Result<Uuid> {
        Ok(self.services.random.uuid()?)
    }

    async fn org(&self, moved: &MovedOrg) -> Result<Found, ImportError> {
        let scope = Scope::org(moved.org.org_id);
        for _ in 0..MAX_ROUNDS {
            if let Some(Tenant { org: here, .. }) = self.services.storage.tenant(&scope).await? {
                let credential = self.services.storage.credential(&ClientId::of(scope)).await?;
                return Ok(Found::of(org_differences(&here, credential.as_ref(), moved)));
            }
            if self.mode != Mode::Apply {
                return Ok(Found::New);
            }
            let client = moved.credential.client(scope.clone(), self.new_epoch()?);
            let entry = Entry::new(AuditAction::OrgCreated, scope.clone()).states(None, Some(&moved.org.config));
            let creation = self.services.storage.create_org(&moved.org, &client);
            match self.services.audited(self.by, entry, creation, |()| true).await? {
                Ok(()) => return Ok(Found::New),
                Err(StorageError::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(kept_changing(&scope))
    }

    async fn app(&mut self, moved: &MovedApp) -> Result<Found, ImportError> {
        let scope = Scope::app(moved.app.org_id, moved.app.app_id.clone());
        self.profiles.clear();
        for _ in 0..MAX_ROUNDS {
            let tenant = self.services.storage.tenant(&scope).await?;
            if let Some(Tenant { app: Some(here), profiles, .. }) = tenant {
                self.profiles = profiles;
                let credential = self.services.storage.credential(&ClientId::of(scope)).await?;
                return Ok(Found::of(app_differences(&here, credential.as_ref(), moved)));
            }
            if self.mode != Mode::Apply {
                return Ok(Found::New);
            }
            let client = moved.credential.client(scope.clone(), self.new_epoch()?);
            let entry = Entry::new(AuditAction::AppCreated, scope.clone()).states(None, Some(&moved.app.config));
            let creation = self.services.storage.create_app(&moved.app, &client);
            match self.services.audited(self.by, entry, creation, |()| true).await? {
                Ok(()) => return Ok(Found::New),
                Err(StorageError::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(kept_changing(&scope))
    }

    async fn profile(&mut self, moved: InferenceProfile) -> Result<Found, ImportError> {
        if let Some(here) = self.profiles.iter().find(|here| here.profile_label == moved.profile_label) {
            return Ok(Found::of(profile_differences(here, &moved)));
        }
        let full = || Found::Other(vec![format!("the application has {MAX_PROFILES_PER_APP} profiles already")]);
        if self.profiles.len() >= MAX_PROFILES_PER_APP as usize {
            return Ok(full());
        }
        if self.mode == Mode::Apply {
            let scope = Scope::app(moved.org_id, moved.app_id.clone());
            let entry = Entry::new(AuditAction::ProfileRegistered, scope)
                .subject(&moved.profile_label)
                .states(None, Some(&AuditedProfile::of(&moved)));
            let creation = self.services.storage.create_profile(&moved, MAX_PROFILES_PER_APP);
            let created = |creation: &ProfileCreation| matches!(creation, ProfileCreation::Created);
            match self.services.audited(self.by, entry, creation, created).await? {
                Ok(ProfileCreation::Created) => {}
                Ok(ProfileCreation::Full) => return Ok(full()),
                Err(StorageError::AlreadyExists) => {
                    let here = self.services.storage.profiles(moved.org_id, &moved.app_id).await?;
                    let here = here.iter().find(|here| here.profile_label == moved.profile_label);
                    let scope = Scope::app(moved.org_id, moved.app_id.clone());
                    let here = here.ok_or_else(|| kept_changing(&scope))?;
                    return Ok(Found::of(profile_differences(here, &moved)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        // So that the next one knows how many there are, or would be.
        self.profiles.push(moved);
        Ok(Found::New)
    }

    /// Takes note of what a resource came to. Where an import is under way already, other content ends it: it was not
    /// there when the file was compared.
    fn note(
        &mut self,
        found: Found,
        resource: &str,
        tally: impl FnOnce(&mut MoveReport) -> &mut Tally,
    ) -> Result<(), ImportError> {
        match found {
            Found::New => tally(&mut self.report).new += 1,
            Found::Same => tally(&mut self.report).unchanged += 1,
            Found::Other(differences) => {
                let conflict = format!("{resource}: {}", differences.join(", "));
                if self.mode == Mode::Apply {
                    let message = format!("{conflict}: changed by somebody else meanwhile");
                    return Err(ServiceError::conflict(message).into());
                }
                self.report.conflicts.add(conflict);
            }
        }
        Ok(())
    }
}

impl Found {
    fn of(differences: Vec<String>) -> Self {
        if differences.is_empty() { Self::Same } else { Self::Other(differences) }
    }
}

fn kept_changing(scope: &Scope) -> ImportError {
    ServiceError::conflict(format!("{} kept being created and deleted at the same time", resource(scope))).into()
}

/// The path of a tenant in the API.
pub(super) fn resource(scope: &Scope) -> String {
    match &scope.app_id {
        None => format!("orgs/{}", scope.org_id),
        Some(app_id) => format!("orgs/{}/apps/{app_id}", scope.org_id),
    }
}
