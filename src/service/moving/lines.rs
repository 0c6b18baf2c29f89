//! What a file of an export consists of, as values.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::calendar::Day;
use crate::domain::credential::{ClientCredential, PreviousSecret, SecretHash};
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, Scope};
use crate::domain::profile::InferenceProfile;
use crate::domain::tenant::{App, Org};
use crate::domain::usage::Counters;
use crate::storage::{DailyTotal, NewClient};

/// Version of the format. It grows when a reader of the version before would misunderstand a file.
pub const FORMAT_VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The store the export was made from, as `/health` names it.
    pub backend: String,
    /// When it was made.
    pub exported_at: Timestamp,
}

/// Any line between the first and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An organization.
    Org(Box<MovedOrg>),
    /// An application of the organization before it.
    App(Box<MovedApp>),
    /// An inference profile of the application before it.
    Profile(InferenceProfile),
    /// A daily total of any application, registered or not, of the organization before it.
    Total(MovedTotal),
}

/// An organization and its client's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedOrg {
    /// The organization.
    pub org: Org,
    /// The credential of its client.
    pub credential: MovedCredential,
}

/// An application and its client's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedApp {
    /// The application.
    pub app: App,
    /// The credential of its client.
    pub credential: MovedCredential,
}

/// What moves of a credential: everything but the token epoch. Revocations do not move, so tokens of the old store must
/// not be good at the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedCredential {
    /// The current secret.
    pub current: SecretHash,
    /// The one before, as long as it is known.
    pub previous: Option<PreviousSecret>,
    /// Version of the credential.
    pub version: u64,
    /// When the credential was created.
    pub created_at: Timestamp,
}

impl MovedCredential {
    /// What moves of a credential.
    #[must_use]
    pub fn of(credential: &ClientCredential) -> Self {
        let ClientCredential { client_id: _, current, previous, token_epoch: _, version, created_at } = credential;
        Self { current: *current, previous: *previous, version: *version, created_at: *created_at }
    }

    /// The client of a scope with this credential and a token epoch of its own.
    #[must_use]
    pub fn client(&self, scope: Scope, token_epoch: Uuid) -> NewClient {
        let credential = ClientCredential {
            client_id: ClientId::of(scope),
            current: self.current,
            previous: self.previous,
            token_epoch,
            version: self.version,
            created_at: self.created_at,
        };
        NewClient { credential, sealed: None }
    }
}

/// A daily total of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTotal {
    /// The organization.
    pub org_id: OrgId,
    /// The local day.
    pub day: Day,
    /// The application.
    pub app_id: AppId,
    /// The label.
    pub model_label: ModelLabel,
    /// The totals.
    pub counters: Counters,
    /// When they last changed.
    pub updated_at: Timestamp,
}

impl MovedTotal {
    /// A total as a store yields it; `None` for one of a whole organization, which follows from the others.
    #[must_use]
    pub fn of(org_id: OrgId, total: DailyTotal) -> Option<Self> {
        let DailyTotal { day, app_id, model_label, counters, updated_at } = total;
        Some(Self { org_id, day, app_id: app_id?, model_label, counters, updated_at })
    }

    /// The total as a store takes it over.
    #[must_use]
    pub fn into_total(self) -> DailyTotal {
        let Self { org_id: _, day, app_id, model_label, counters, updated_at } = self;
        DailyTotal { day, app_id: Some(app_id), model_label, counters, updated_at }
    }
}
