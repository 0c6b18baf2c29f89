//! OAuth2 tokens: issued for client credentials, refreshed, verified and revoked (RFC 6749 §4.4 and §6, RFC 7009).
//!
//! Tokens are JWTs. Every token carries its client's *token epoch*; a token of another epoch is dead, which ends all
//! tokens of a client in one write, and keeps those of a deleted client dead when it is registered again.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::{Identity, Origin, Permission, TokenAccess};
use super::audit::Entry;
use super::crypto;
use super::error::ServiceError;
use super::signing::Verdict;
use super::{Result, Services};
use crate::domain::audit::AuditAction;
use crate::domain::ids::{AppId, ClientId, OrgId, Scope};
use crate::storage::Revocation;

/// Issuer of every token.
pub const ISSUER: &str = "bedrock-cost-keeper";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Presented with each call.
    Access,
    /// Exchanged for access tokens; names its session.
    Refresh,
}

/// What a token says. Built only by verification or issue, so its parts agree with each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WireClaims", into = "WireClaims")]
pub struct Claims {
    client_id: ClientId,
    scope: Vec<String>,
    token_type: TokenType,
    jti: Uuid,
    sid: Uuid,
    epoch: Uuid,
    iat: i64,
    exp: i64,
}

impl Claims {
    /// Whose token.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Whether the token's scope includes this.
    #[must_use]
    pub fn permits(&self, permission: Permission) -> bool {
        self.scope.iter().any(|granted| granted == permission.as_str())
    }
}

/// Claims as they stand in the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    sub: String,
    org_id: OrgId,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<AppId>,
    scope: Vec<String>,
    token_type: TokenType,
    jti: Uuid,
    sid: Uuid,
    epoch: Uuid,
    iat: i64,
    exp: i64,
}

impl TryFrom<WireClaims> for Claims {
    type Error = &'static str;
    fn try_from(wire: WireClaims) -> Result<Self, &'static str> {
        let client_id: ClientId = wire.sub.parse().map_err(|_| "sub is no client id")?;
        if wire.iss != ISSUER {
            return Err("foreign issuer");
        }
        if client_id.0 != (Scope { org_id: wire.org_id, app_id: wire.app_id }) {
            return Err("sub and org_id, app_id disagree");
        }
        let WireClaims { scope, token_type, jti, sid, epoch, iat, exp, .. } = wire;
        Ok(Self { client_id, scope, token_type, jti, sid, epoch, iat, exp })
    }
}

impl From<Claims> for WireClaims {
    fn from(claims: Claims) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: claims.client_id.to_string(),
            org_id: claims.client_id.0.org_id,
            app_id: claims.client_id.0.app_id.clone(),
            scope: claims.scope,
            token_type: claims.token_type,
            jti: claims.jti,
            sid: claims.sid,
            epoch: claims.epoch,
            iat: claims.iat,
            exp: claims.exp,
        }
    }
}

/// What a successful token request yields.
#[derive(Debug)]
pub struct IssuedTokens {
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token; `None` where one was used to get here.
    pub refresh_token: Option<SecretString>,
    /// Seconds the access token lives.
    pub expires_in: i64,
    /// Seconds the refresh token lives.
    pub refresh_expires_in: i64,
    /// `org:<id> app:<id>`.
    pub scope: String,
}

const BAD_CLIENT: ServiceError = ServiceError::Unauthorized("unknown client or wrong secret");
const BAD_TOKEN: ServiceError = ServiceError::Unauthorized("the token is malformed, expired or revoked");

impl Services {
    /// Checks a client's id and secret. An unknown client costs the same work as a wrong secret and is answered alike;
    /// the audit trail notes both alike.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`], or [`ServiceError::Unavailable`] from the store.
    async fn authenticate_client(&self, client_id: &str, secret: &str, origin: &Origin) -> Result<(ClientId, Uuid)> {
        let parsed: Option<ClientId> = client_id.parse().ok();
        let credential = match &parsed {
            Some(client_id) => self.storage.credential(client_id).await?,
            None => None,
        };
        let now = self.now();
        let accepted = match &credential {
            Some(credential) => crypto::any_matches(credential.accepted_hashes(now), secret),
            None => crypto::matches_nothing(secret),
        };
        match (parsed, credential) {
            (Some(client_id), Some(credential)) if accepted => Ok((client_id, credential.token_epoch)),
            (parsed, _) => {
                self.audit_refusal(AuditAction::LoginRefused, parsed.as_ref(), origin);
                Err(BAD_CLIENT)
            }
        }
    }

    /// The client-credentials grant.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] for an unknown client, a wrong secret or one past its grace period.
    pub async fn issue_tokens(&self, client_id: &str, secret: &SecretString, origin: &Origin) -> Result<IssuedTokens> {
        let (client_id, epoch) = self.authenticate_client(client_id, secret.expose_secret(), origin).await?;
        let session = self.random.uuid()?;
        let refresh = self.claims(&client_id, TokenType::Refresh, session, epoch)?;
        let mut issued = self.access_token(&client_id, session, epoch)?;
        issued.refresh_token = Some(self.signer.sign(&refresh)?.into());
        Ok(issued)
    }

    /// The refresh grant: a new access token of the same session. Client credentials are not needed; where they are
    /// sent they must be right and the token's.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] for anything but a live refresh token.
    pub async fn refresh_tokens(
        &self,
        refresh_token: &SecretString,
        client: Option<(&str, &SecretString)>,
        origin: &Origin,
    ) -> Result<IssuedTokens> {
        let authenticated = match client {
            Some((client_id, secret)) => {
                Some(self.authenticate_client(client_id, secret.expose_secret(), origin).await?.0)
            }
            None => None,
        };
        let claims = self.live(refresh_token.expose_secret(), TokenType::Refresh).await?;
        if authenticated.is_some_and(|client_id| client_id != claims.client_id) {
            return Err(BAD_TOKEN);
        }
        self.access_token(&claims.client_id, claims.sid, claims.epoch)
    }

    /// Revokes one of the caller's own tokens: an access token by itself, a refresh token with its whole session.
    /// A token that is expired or not ours is none at all, and revoking nothing succeeds.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for another client's token.
    pub async fn revoke_token(&self, access: &TokenAccess, token: &SecretString) -> Result<()> {
        let claims = self.signed_claims(token.expose_secret()).await;
        let Some(claims) = claims.filter(|claims| !self.expired(claims)) else {
            return Ok(());
        };
        if claims.client_id != *access.client_id() {
            return Err(ServiceError::Forbidden("the token belongs to another client"));
        }
        let (revocation, expires) = match claims.token_type {
            TokenType::Access => (Revocation::Token(claims.jti), claims.exp),
            // Access tokens of the session may have been issued until now and outlive the refresh token.
            TokenType::Refresh => {
                let last = self.now().as_second().saturating_add(self.lifetimes.access_token.as_secs());
                (Revocation::Session(claims.sid), claims.exp.max(last))
            }
        };
        let expires_at = Timestamp::from_second(expires).map_err(|e| ServiceError::Internal(e.to_string()))?;
        let subject = match revocation {
            Revocation::Token(id) => format!("token {id}"),
            Revocation::Session(id) => format!("session {id}"),
        };
        let entry = Entry::new(AuditAction::TokenRevoked, claims.client_id.0.clone()).subject(&subject);
        self.audited(access.by(), entry, self.storage.revoke(revocation, expires_at), |()| true).await??;
        Ok(())
    }

    /// The client behind an access token.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] for anything but a live access token.
    pub async fn verify_access_token(&self, token: &str) -> Result<Identity> {
        self.live(token, TokenType::Access).await.map(|claims| Identity::Client(Box::new(claims)))
    }

    /// The client that a token of ours names, whether or not the token is good: whom its use counts for, not who may come
    /// in.
    pub async fn client_of(&self, token: &SecretString) -> Option<ClientId> {
        self.signed_claims(token.expose_secret()).await.map(|claims| claims.client_id)
    }

    /// Well signed, of the right kind, unexpired, of the client's current epoch and not revoked.
    async fn live(&self, token: &str, token_type: TokenType) -> Result<Claims> {
        let claims = self.signed_claims(token).await.ok_or(BAD_TOKEN)?;
        if claims.token_type != token_type || self.expired(&claims) {
            return Err(BAD_TOKEN);
        }
        let state = self.storage.token_state(&claims.client_id, claims.sid, claims.jti).await?;
        if state.revoked || state.token_epoch != Some(claims.epoch) {
            return Err(BAD_TOKEN);
        }
        Ok(claims)
    }

    /// The claims of a token that one of our keys signed, whether or not it expired. A key that is unknown may be one that
    /// another instance uses already: it is looked for where keys are kept, if there is such a place.
    async fn signed_claims(&self, token: &str) -> Option<Claims> {
        let mut verdict = self.signer.verify(token, self.now());
        if let (Verdict::UnknownKey, Some(refresh)) = (&verdict, &self.key_refresh) {
            refresh.refresh_early().await;
            verdict = self.signer.verify(token, self.now());
        }
        match verdict {
            Verdict::Signed(claims) => Some(claims),
            Verdict::UnknownKey | Verdict::Refused => None,
        }
    }

    fn expired(&self, claims: &Claims) -> bool {
        self.now().as_second() >= claims.exp
    }

    fn access_token(&self, client_id: &ClientId, session: Uuid, epoch: Uuid) -> Result<IssuedTokens> {
        let claims = self.claims(client_id, TokenType::Access, session, epoch)?;
        let mut scope = format!("org:{}", client_id.0.org_id);
        if let Some(app_id) = &client_id.0.app_id {
            scope.push_str(&format!(" app:{app_id}"));
        }
        Ok(IssuedTokens {
            access_token: self.signer.sign(&claims)?.into(),
            refresh_token: None,
            expires_in: self.lifetimes.access_token.as_secs(),
            refresh_expires_in: self.lifetimes.refresh_token.as_secs(),
            scope,
        })
    }

    fn claims(&self, client_id: &ClientId, token_type: TokenType, session: Uuid, epoch: Uuid) -> Result<Claims> {
        let lifetime = match token_type {
            TokenType::Access => self.lifetimes.access_token,
            TokenType::Refresh => self.lifetimes.refresh_token,
        };
        let iat = self.now().as_second();
        let scope = match token_type {
            TokenType::Access => Permission::ALL.iter().map(|permission| permission.as_str().to_owned()).collect(),
            TokenType::Refresh => Vec::new(),
        };
        Ok(Claims {
            client_id: client_id.clone(),
            scope,
            token_type,
            jti: self.random.uuid()?,
            sid: session,
            epoch,
            iat,
            exp: iat.saturating_add(lifetime.as_secs()),
        })
    }
}
