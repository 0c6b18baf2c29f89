//! Client secrets: issued with a tenant, rotated, retrieved once, and all tokens of a client ended.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;

use super::access::ProvisioningAccess;
use super::audit::Entry;
use super::crypto;
use super::error::ServiceError;
use super::{Result, Services};
use crate::domain::audit::AuditAction;
use crate::domain::credential::{ClientCredential, SealedSecret, SecretHash};
use crate::domain::ids::{ClientId, Scope};
use crate::domain::tenant::InvalidConfig;
use crate::storage::{NewClient, StorageError, TakenSecret};

/// Hours an old secret keeps working after a rotation where nothing is asked for.
pub const DEFAULT_GRACE_PERIOD_HOURS: i64 = 24;
/// Longest grace period that may be asked for: a week, so that a leaked secret cannot linger for good.
pub const MAX_GRACE_PERIOD_HOURS: i64 = 168;

/// How a new secret reaches the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretDelivery {
    /// A one-time retrieval token, so that the secret itself stays out of provisioning logs and pipelines.
    #[default]
    Token,
    /// The secret at once.
    Inline,
}

/// A new secret, or how to get it.
#[derive(Debug)]
pub enum DeliveredSecret {
    /// The secret.
    Inline(SecretString),
    /// What to retrieve it with, once.
    Retrieval {
        /// The one-time token.
        token: SecretString,
        /// From this instant on the token no longer works.
        expires_at: Timestamp,
    },
}

/// A client and its new secret.
#[derive(Debug)]
pub struct IssuedCredentials {
    /// Whose secret.
    pub client_id: ClientId,
    /// The secret, or how to get it.
    pub secret: DeliveredSecret,
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotation {
    /// The client, whose id stays, and its new secret.
    pub issued: IssuedCredentials,
    /// When the new secret came into force.
    pub rotated_at: Timestamp,
    /// From this instant on the secret just replaced no longer works.
    pub old_secret_expires_at: Timestamp,
    /// Hours between the two.
    pub grace_period_hours: i64,
}

/// What the audit trail says of a rotation.
#[derive(Serialize)]
struct AuditedRotation {
    grace_period_hours: i64,
    old_secret_expires_at: Timestamp,
    delivery: SecretDelivery,
}

const BAD_RETRIEVAL_TOKEN: ServiceError = ServiceError::Unauthorized("the retrieval token is unknown or expired");

/// Without its credential a client is not registered: the two are stored and deleted together.
pub(super) fn not_registered(scope: &Scope) -> ServiceError {
    ServiceError::NotFound(if scope.app_id.is_some() { "application" } else { "organization" })
}

fn instant_after(start: Timestamp, duration: SignedDuration) -> Result<Timestamp> {
    start.checked_add(duration).map_err(|e| ServiceError::Internal(e.to_string()))
}

impl Services {
    /// The credential of a tenant, which it has as long as it is registered: from the store itself and not from what this
    /// instance remembers of it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where it is not registered.
    pub(super) async fn credential_of(&self, scope: &Scope) -> Result<ClientCredential> {
        let credential = self.storage.credential(&ClientId::of(scope.clone())).await?;
        credential.ok_or_else(|| not_registered(scope))
    }

    /// The credential a new tenant starts with, to be stored in one step with it, and what its administrator is told.
    pub(crate) fn new_client(
        &self,
        client_id: &ClientId,
        delivery: SecretDelivery,
    ) -> Result<(NewClient, IssuedCredentials)> {
        let now = self.now();
        let (current, sealed, issued) = self.new_secret(client_id, delivery, now)?;
        let credential = ClientCredential {
            client_id: client_id.clone(),
            current,
            previous: None,
            token_epoch: self.random.uuid()?,
            version: 1,
            created_at: now,
        };
        Ok((NewClient { credential, sealed }, issued))
    }

    fn new_secret(
        &self,
        client_id: &ClientId,
        delivery: SecretDelivery,
        now: Timestamp,
    ) -> Result<(SecretHash, Option<SealedSecret>, IssuedCredentials)> {
        let random = self.random.as_ref();
        let secret = crypto::new_secret(random)?;
        let hash = crypto::hash_secret(&secret, random)?;
        let (sealed, secret) = match delivery {
            SecretDelivery::Inline => (None, DeliveredSecret::Inline(secret)),
            SecretDelivery::Token => {
                let expires_at = instant_after(now, self.lifetimes.secret_retrieval)?;
                let token = crypto::new_retrieval_token(random)?;
                let sealed = crypto::seal(&secret, &token, client_id, expires_at)?;
                (Some(sealed), DeliveredSecret::Retrieval { token, expires_at })
            }
        };
        Ok((hash, sealed, IssuedCredentials { client_id: client_id.clone(), secret }))
    }

    /// Gives a client a new secret. The one before keeps working for the grace period (24 hours where none is asked
    /// for), one from an earlier rotation ends at once. The client's id and its tokens stay.
    ///
    /// # Errors
    /// [`ServiceError::InvalidConfig`] for a grace period outside 0–168 hours, [`ServiceError::NotFound`] where the
    /// tenant is not registered, [`ServiceError::Conflict`] where another request changed the credential meanwhile:
    /// then no secret was issued.
    pub async fn rotate_secret(
        &self,
        access: &ProvisioningAccess,
        scope: &Scope,
        grace_period_hours: Option<i64>,
        delivery: SecretDelivery,
    ) -> Result<Rotation> {
        let grace_period_hours = grace_period_hours.unwrap_or(DEFAULT_GRACE_PERIOD_HOURS);
        if !(0..=MAX_GRACE_PERIOD_HOURS).contains(&grace_period_hours) {
            let reason = format!("must be between 0 and {MAX_GRACE_PERIOD_HOURS} hours");
            return Err(InvalidConfig::new("grace_period_hours", reason).into());
        }
        let client_id = ClientId::of(scope.clone());
        let old = self.credential_of(scope).await?;
        let now = self.now();
        let old_secret_expires_at = instant_after(now, SignedDuration::from_hours(grace_period_hours))?;
        let (hash, sealed, issued) = self.new_secret(&client_id, delivery, now)?;
        let mut credential = old.rotated(hash, old_secret_expires_at);
        if grace_period_hours == 0 {
            // Dropped rather than left to expire: an instance whose clock lags must not accept it either.
            credential.previous = None;
        }
        let after = AuditedRotation { grace_period_hours, old_secret_expires_at, delivery };
        let entry = Entry::new(AuditAction::SecretRotated, scope.clone()).states(None, Some(&after));
        let client = NewClient { credential, sealed };
        let replaced = self.storage.replace_credential(&client, old.version);
        match self.audited(access.by(), entry, replaced, |()| true).await? {
            Ok(()) => Ok(Rotation { issued, rotated_at: now, old_secret_expires_at, grace_period_hours }),
            Err(StorageError::Conflict) => Err(ServiceError::conflict(
                "the credential was changed by another request at the same time; no new secret was issued",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The secret a one-time retrieval token stands for. Of any number of concurrent calls exactly one gets it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant is not registered or the token was used before,
    /// [`ServiceError::Unauthorized`] where the token is unknown, expired or another client's.
    pub async fn retrieve_secret(
        &self,
        access: &ProvisioningAccess,
        scope: &Scope,
        token: &SecretString,
    ) -> Result<(ClientId, SecretString)> {
        let client_id = ClientId::of(scope.clone());
        self.credential_of(scope).await?;
        let hash = crypto::token_hash(token);
        let entry = Entry::new(AuditAction::SecretRetrieved, scope.clone());
        let taken = self.storage.take_secret(&client_id, &hash, self.now());
        match self.audited(access.by(), entry, taken, |taken| matches!(taken, TakenSecret::Taken(_))).await?? {
            TakenSecret::Taken(sealed) => {
                let secret = crypto::open(&sealed, token, &client_id)?;
                Ok((client_id, secret))
            }
            TakenSecret::AlreadyUsed => Err(ServiceError::NotFound("secret (this retrieval token was used before)")),
            TakenSecret::Unknown => Err(BAD_RETRIEVAL_TOKEN),
        }
    }

    /// Ends every token issued to a client until now. Its secret keeps working.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant is not registered.
    pub async fn revoke_all_tokens(&self, access: &ProvisioningAccess, scope: &Scope) -> Result<()> {
        let client_id = self.credential_of(scope).await?.client_id;
        let entry = Entry::new(AuditAction::TokensRevoked, scope.clone());
        let ended = self.storage.set_token_epoch(&client_id, self.random.uuid()?);
        match self.audited(access.by(), entry, ended, |ended| *ended).await?? {
            true => Ok(()),
            false => Err(not_registered(scope)),
        }
    }
}
