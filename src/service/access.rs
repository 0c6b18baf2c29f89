//! Who may do what.
//!
//! A [`Caller`] is somebody whose credentials were verified. It yields an access value for one kind of use case on
//! one scope, or a refusal. The fields of access values are private to this module, so a use case that takes one
//! cannot be reached without authorization. Those that permit a change say by whom, for the audit trail.

mod identity;
mod permission;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

use super::crypto::sha256;
use super::error::ServiceError;
use super::tokens::Claims;
use super::{Result, Services};
use crate::domain::audit::{AuditAction, AuditActor};
use crate::domain::ids::{AppId, ClientId, OrgId, Scope};
use crate::ids::Random;

pub use self::identity::{Identity, Origin, Requester};
pub use self::permission::Permission;

/// The configured keys of administrators, by digest. Replaced as a whole, so that no request sees half of a change.
pub struct ProvisioningKeys {
    digests: ArcSwap<Vec<[u8; 32]>>,
}

impl fmt::Debug for ProvisioningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvisioningKeys({})", self.digests.load().len())
    }
}

impl ProvisioningKeys {
    /// Accepts these keys.
    #[must_use]
    pub fn new(keys: &[SecretString]) -> Self {
        Self { digests: ArcSwap::from_pointee(digests(keys)) }
    }

    /// Accepts these keys from now on and no others. Answers their ids after a change, `None` where they are the same.
    pub fn replace(&self, keys: &[SecretString]) -> Option<Vec<String>> {
        let next = digests(keys);
        if next == **self.digests.load() {
            return None;
        }
        let ids = next.iter().map(key_id).collect();
        self.digests.store(Arc::new(next));
        Some(ids)
    }

    /// The administrator a presented key belongs to. Compares digests in constant time and always all of them, so
    /// that neither a common prefix nor the position of a key shows in the time it takes.
    #[must_use]
    pub fn verify(&self, presented: &str) -> Option<Identity> {
        let presented = sha256(presented.as_bytes());
        let mut found = None;
        for known in self.digests.load().iter() {
            if verify_slices_are_equal(known, &presented).is_ok() {
                found = Some(*known);
            }
        }
        found.map(|digest| Identity::Administrator { key_id: key_id(&digest) })
    }
}

fn digests(keys: &[SecretString]) -> Vec<[u8; 32]> {
    keys.iter().map(|key| sha256(key.expose_secret().as_bytes())).collect()
}

/// The start of a key's digest: enough to tell two keys apart in a log, far too little to help guess one.
fn key_id([a, b, c, d, ..]: &[u8; 32]) -> String {
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// Somebody whose credentials were verified, in the course of one request.
#[derive(Debug, Clone)]
pub struct Caller {
    identity: Identity,
    origin: Origin,
}

/// May provision tenants.
#[derive(Debug, Clone)]
pub struct ProvisioningAccess {
    by: Requester,
}

impl ProvisioningAccess {
    /// Which administrator key was used, or that none was needed.
    #[must_use]
    pub fn key_id(&self) -> &str {
        match &self.by.actor {
            AuditActor::Administrator(key_id) => key_id,
            // Only administrators and the operator get this far.
            AuditActor::Operator | AuditActor::Client(_) | AuditActor::Anonymous => "operator",
        }
    }

    /// Who asks.
    #[must_use]
    pub fn by(&self) -> &Requester {
        &self.by
    }

    /// Whoever can start the process on the store's own host (the command line) administers it. Everything done with
    /// one of these has the same request id.
    pub(crate) fn of_operator(random: &dyn Random) -> Self {
        // Without randomness the id is the nil UUID: the trail then still says that it was the operator, and when.
        let request_id = random.uuid().unwrap_or_default().to_string();
        Self { by: Requester { actor: AuditActor::Operator, origin: Origin { request_id, address: None } } }
    }
}

macro_rules! app_access {
    ($(#[$doc:meta])* $name:ident $(, $by:ident)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            org_id: OrgId,
            app_id: AppId,
            $($by: Requester,)?
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

            $(
                /// Who asks.
                #[must_use]
                pub fn $by(&self) -> &Requester {
                    &self.$by
                }
            )?
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
    ProfileWriteAccess, by
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
    by: Requester,
}

impl TokenAccess {
    /// Whose tokens.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Who asks: that client.
    #[must_use]
    pub fn by(&self) -> &Requester {
        &self.by
    }
}

const NOT_A_KEY: ServiceError = ServiceError::Unauthorized("the provisioning key in X-API-Key is not valid");
const NOT_ADMIN: ServiceError = ServiceError::Forbidden("this needs a provisioning key in X-API-Key");
const NOT_CLIENT: ServiceError = ServiceError::Forbidden("this needs a client's access token");
const OTHER_TENANT: ServiceError =
    ServiceError::Forbidden("the access token belongs to another organization or application");
const NOT_PERMITTED: ServiceError = ServiceError::Forbidden("the access token's scope does not include this");

impl Services {
    /// The administrator behind a provisioning key. One that is none is noted in the audit trail.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] for anything else.
    pub fn administrator(&self, presented: &str, origin: Origin) -> Result<Caller> {
        match self.provisioning_keys.verify(presented) {
            Some(identity) => Ok(Caller::new(identity, origin)),
            None => {
                self.audit_refusal(AuditAction::KeyRefused, None, &origin);
                Err(NOT_A_KEY)
            }
        }
    }
}

impl Caller {
    /// Somebody who proved to be this, in a request from there.
    #[must_use]
    pub fn new(identity: Identity, origin: Origin) -> Self {
        Self { identity, origin }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn requester(&self) -> Requester {
        Requester { actor: self.identity.actor(), origin: self.origin.clone() }
    }

    /// A token reaches a scope if it is the organization's, or the very application's.
    fn reaches(claims: &Claims, scope: &Scope, permission: Permission) -> Result<()> {
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
    fn may_read(&self, scope: &Scope, permission: Permission) -> Result<()> {
        match &self.identity {
            Identity::Administrator { .. } => Ok(()),
            Identity::Client(claims) => Self::reaches(claims, scope, permission),
        }
    }

    /// Administrators only.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for a client.
    pub fn provisioning(&self) -> Result<ProvisioningAccess> {
        match &self.identity {
            Identity::Administrator { .. } => Ok(ProvisioningAccess { by: self.requester() }),
            Identity::Client(_) => Err(NOT_ADMIN),
        }
    }

    /// Model selection of an application.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, whether or not the target exists.
    pub fn selection(&self, org_id: OrgId, app_id: AppId) -> Result<SelectionAccess> {
        self.may_read(&Scope::app(org_id, app_id.clone()), Permission::ReadModelSelection)?;
        Ok(SelectionAccess { org_id, app_id })
    }

    /// Submissions of an application: only by its own client or its organization's, never by an administrator.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for anybody else, whether or not the target exists.
    pub fn usage(&self, org_id: OrgId, app_id: AppId) -> Result<UsageAccess> {
        match &self.identity {
            Identity::Administrator { .. } => Err(NOT_CLIENT),
            Identity::Client(claims) => {
                Self::reaches(claims, &Scope::app(org_id, app_id.clone()), Permission::WriteCosts)?;
                Ok(UsageAccess { org_id, app_id })
            }
        }
    }

    /// Inference profiles of an application, to read.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, whether or not the target exists.
    pub fn read_profiles(&self, org_id: OrgId, app_id: AppId) -> Result<ProfileReadAccess> {
        self.may_read(&Scope::app(org_id, app_id.clone()), Permission::ReadModelSelection)?;
        Ok(ProfileReadAccess { org_id, app_id })
    }

    /// Inference profiles of an application, to register and delete: by its own client, its organization's, and
    /// administrators. A profile is configuration, not spend, and whoever provisions an ordering that names one must be
    /// able to register it first.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for anybody else, whether or not the target exists.
    pub fn write_profiles(&self, org_id: OrgId, app_id: AppId) -> Result<ProfileWriteAccess> {
        if let Identity::Client(claims) = &self.identity {
            Self::reaches(claims, &Scope::app(org_id, app_id.clone()), Permission::WriteCosts)?;
        }
        Ok(ProfileWriteAccess { org_id, app_id, by: self.requester() })
    }

    /// Spend of an organization or application.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another tenant's token, and for an application's token on its organization.
    pub fn aggregates(&self, scope: Scope) -> Result<AggregatesAccess> {
        self.may_read(&scope, Permission::ReadAggregates)?;
        Ok(AggregatesAccess { scope })
    }

    /// The label catalog, the same for everybody.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for a token without the permission.
    pub fn catalog(&self) -> Result<CatalogAccess> {
        match &self.identity {
            Identity::Client(claims) if !claims.permits(Permission::ReadModelSelection) => Err(NOT_PERMITTED),
            Identity::Client(_) | Identity::Administrator { .. } => Ok(CatalogAccess(())),
        }
    }

    /// The caller's own tokens.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for an administrator, who has no token.
    pub fn own_tokens(&self) -> Result<TokenAccess> {
        match &self.identity {
            Identity::Administrator { .. } => Err(NOT_CLIENT),
            Identity::Client(claims) => Ok(TokenAccess { client_id: claims.client_id().clone(), by: self.requester() }),
        }
    }
}
