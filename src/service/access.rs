//! Who may do what.
//!
//! A [`Caller`] is somebody whose credentials were verified. It yields an access value for one kind of use case on
//! one scope, or a refusal. The fields of access values are private to this module, so a use case that takes one
//! cannot be reached without authorization.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

use super::crypto::sha256;
use super::error::ServiceError;
use super::tokens::Claims;
use crate::domain::ids::{AppId, ClientId, OrgId, Scope};

/// What an access token permits, as its `scope` claim lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read spend and quotas.
    ReadAggregates,
    /// Submit usage and costs.
    WriteCosts,
    /// Ask which model to use, and read the catalog.
    ReadModelSelection,
}

impl Permission {
    /// Every permission: what a client-credentials token carries.
    pub const ALL: [Self; 3] = [Self::ReadAggregates, Self::WriteCosts, Self::ReadModelSelection];

    /// As written in the claim.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadAggregates => "read:aggregates",
            Self::WriteCosts => "write:costs",
            Self::ReadModelSelection => "read:model-selection",
        }
    }
}

/// The configured keys of administrators, by digest.
pub struct ProvisioningKeys {
    digests: Vec<[u8; 32]>,
}

impl fmt::Debug for ProvisioningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvisioningKeys({})", self.digests.len())
    }
}

impl ProvisioningKeys {
    /// Accepts these keys.
    #[must_use]
    pub fn new(keys: &[SecretString]) -> Self {
        Self { digests: keys.iter().map(|key| sha256(key.expose_secret().as_bytes())).collect() }
    }

    /// The administrator a presented key belongs to. Compares digests in constant time and always all of them, so
    /// that neither a common prefix nor the position of a key shows in the time it takes.
    #[must_use]
    pub fn verify(&self, presented: &str) -> Option<Caller> {
        let presented = sha256(presented.as_bytes());
        let mut found = None;
        for known in &self.digests {
            if verify_slices_are_equal(known, &presented).is_ok() {
                found = Some(*known);
            }
        }
        let digest = found?;
        // Enough to tell two keys apart in a log, far too little to help guess one.
        let [a, b, c, d, ..] = digest;
        Some(Caller::Administrator { key_id: format!("{a:02x}{b:02x}{c:02x}{d:02x}") })
    }
}

/// Somebody whose credentials were verified.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Holds a provisioning key.
    Administrator {
        /// First bytes of the key's digest, to tell keys apart in logs.
        key_id: String,
    },
    /// Holds an access token that is well signed, unexpired and not revoked.
    Client(Box<Claims>),
}

/// May provision tenants.
#[derive(Debug, Clone)]
pub struct ProvisioningAccess {
    key_id: String,
}

impl ProvisioningAccess {
    /// Which administrator key was used.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whoever can start the process on the store's own host (the command line) administers it.
    pub(crate) fn of_operator() -> Self {
        Self { key_id: "operator".to_owned() }
    }
}

macro_rules! app_access {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            org_id: OrgId,
            app_id: AppId,
        }

        impl $name {
            /// The organization.
            #[must_use]
            pub fn org_id(&self) -> OrgId {
                self.org_id
            }

            /// The application.
            #[must_use]
            pub fn app_id(&self) -> &AppId {
                &self.app_id
            }

            /// The application as a scope.
            #[must_use]
            pub fn scope(&self) -> Scope {
                Scope::app(self.org_id, self.app_id.clone())
            }
        }
    };
}

app_access! {
    /// May ask which model an application should use.
    SelectionAccess
}
app_access! {
    /// May submit usage of an application.
    UsageAccess
}
app_access! {
    /// May read an application's inference profiles.
    ProfileReadAccess
}
app_access! {
    /// May register and delete an application's inference profiles.
    ProfileWriteAccess
}

/// May read spend of a scope.
#[derive(Debug, Clone)]
pub struct AggregatesAccess {
    scope: Scope,
}

impl AggregatesAccess {
    /// The organization or application.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// May read the label catalog.
#[derive(Debug, Clone)]
pub struct CatalogAccess(());

/// May revoke tokens of the client it was made from.
#[derive(Debug, Clone)]
pub struct TokenAccess {
    client_id: ClientId,
}

impl TokenAccess {
    /// Whose tokens.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }
}

const NOT_ADMIN: ServiceError = ServiceError::Forbidden("this needs a provisioning key in X-API-Key");
const NOT_CLIENT: ServiceError = ServiceError::Forbidden("this needs a client's access token");
const OTHER_TENANT: ServiceError =
    ServiceError::Forbidden("the access token belongs to another organization or application");
const NOT_PERMITTED: ServiceError = ServiceError::Forbidden("the access token's scope does not include this");

impl Caller {
    /// A token reaches a scope if it is the organization's, or the very application's.
    fn reaches(claims: &Claims, scope: &Scope, permission: Permission) -> Result<(), ServiceError> {
        let own = claims.client_id();
        let same_org = own.0.org_id == scope.org_id;
        if !same_org || (own.0.app_id.is_some() && own.0.app_id != scope.app_id) {
            return Err(OTHER_TENANT);
        }
        if !claims.permits(permission) {
            return Err(NOT_PERMITTED);
        }
        Ok(())
    }

    /// Administrators may read any tenant; clients their own.
    fn may_read(&self, scope: &Scope, permission: Permission) -> Result<(), ServiceError> {
        match self {
            Self::Administrator { .. } => Ok(()),
            Self::Client(claims) => Self::reaches(claims, scope, permission),
        }
    }

    /// Administrators only.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for a client.
    pub fn provisioning(&self) -> Result<ProvisioningAccess, ServiceError> {
        match self {
            Self::Administrator { key_id } => Ok(ProvisioningAccess { key_id: key_id.clone() }),
            Self::Client(_) => Err(NOT_ADMIN),
        }
    }

    /// Model selection of an application.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, whether or not the target exists.
    pub fn selection(&self, org_id: OrgId, app_id: AppId) -> Result<SelectionAccess, ServiceError> {
        self.may_read(&Scope::app(org_id, app_id.clone()), Permission::ReadModelSelection)?;
        Ok(SelectionAccess { org_id, app_id })
    }

    /// Submissions of an application: only by its own client or its organization's, never by an administrator.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for anybody else, whether or not the target exists.
    pub fn usage(&self, org_id: OrgId, app_id: AppId) -> Result<UsageAccess, ServiceError> {
        match self {
            Self::Administrator { .. } => Err(NOT_CLIENT),
            Self::Client(claims) => {
                Self::reaches(claims, &Scope::app(org_id, app_id.clone()), Permission::WriteCosts)?;
                Ok(UsageAccess { org_id, app_id })
            }
        }
    }

    /// Inference profiles of an application, to read.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, whether or not the target exists.
    pub fn read_profiles(&self, org_id: OrgId, app_id: AppId) -> Result<ProfileReadAccess, ServiceError> {
        self.may_read(&Scope::app(org_id, app_id.clone()), Permission::ReadModelSelection)?;
        Ok(ProfileReadAccess { org_id, app_id })
    }

    /// Inference profiles of an application, to register and delete: by its own client, its organization's, and
    /// administrators. A profile is configuration, not spend, and whoever provisions an ordering that names one must be
    /// able to register it first.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for anybody else, whether or not the target exists.
    pub fn write_profiles(&self, org_id: OrgId, app_id: AppId) -> Result<ProfileWriteAccess, ServiceError> {
        if let Self::Client(claims) = self {
            Self::reaches(claims, &Scope::app(org_id, app_id.clone()), Permission::WriteCosts)?;
        }
        Ok(ProfileWriteAccess { org_id, app_id })
    }

    /// Spend of an organization or application.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, and for an application's token on its organization.
    pub fn aggregates(&self, scope: Scope) -> Result<AggregatesAccess, ServiceError> {
        self.may_read(&scope, Permission::ReadAggregates)?;
        Ok(AggregatesAccess { scope })
    }

    /// The label catalog, the same for everybody.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for a token without the permission.
    pub fn catalog(&self) -> Result<CatalogAccess, ServiceError> {
        match self {
            Self::Client(claims) if !claims.permits(Permission::ReadModelSelection) => Err(NOT_PERMITTED),
            Self::Client(_) | Self::Administrator { .. } => Ok(CatalogAccess(())),
        }
    }

    /// The caller's own tokens.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for an administrator, who has no token.
    pub fn own_tokens(&self) -> Result<TokenAccess, ServiceError> {
        match self {
            Self::Administrator { .. } => Err(NOT_CLIENT),
            Self::Client(claims) => Ok(TokenAccess { client_id: claims.client_id().clone() }),
        }
    }
}
