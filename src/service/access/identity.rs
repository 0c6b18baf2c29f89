//! Who somebody proved to be, and where the request came from.

use std::net::IpAddr;

use crate::domain::audit::AuditActor;
use crate::domain::ids::ClientId;
use crate::service::tokens::Claims;

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The `X-Request-Id` of the request, or the command's own id.
    pub request_id: String,
    /// Address of the caller, where it is known.
    pub address: Option<IpAddr>,
}

/// Who somebody proved to be.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Holds a provisioning key.
    Administrator {
        /// First bytes of the key's digest, to tell keys apart in logs.
        key_id: String,
    },
    /// Holds an access token that is well signed, unexpired and not revoked.
    Client(Box<Claims>),
}

impl Identity {
    /// The client; `None` for an administrator.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Administrator { .. } => None,
            Self::Client(claims) => Some(claims.client_id()),
        }
    }

    pub(super) fn actor(&self) -> AuditActor {
        match self {
            Self::Administrator { key_id } => AuditActor::Administrator(key_id.clone()),
            Self::Client(claims) => AuditActor::Client(claims.client_id().clone()),
        }
    }
}

/// Who asks for a change, and from where: what the audit trail says of it.
#[derive(Debug, Clone)]
pub struct Requester {
    /// Who.
    pub(in crate::service) actor: AuditActor,
    /// From where.
    pub(in crate::service) origin: Origin,
}
