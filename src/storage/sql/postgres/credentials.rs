//! Client credentials, one-time secrets and revocations.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::PostgresStorage;
use super::attempts::{Failure, Repeat};
use super::session::Session;
use crate::domain::credential::{ClientCredential, SealedSecret};
use crate::domain::ids::{AppId, ClientId};
use crate::storage::contract::{Credentials, NewClient, Result, Revocation, TakenSecret, TokenState};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::millis;
use crate::storage::sql::rows::{CredentialRow, expected_version_column, version_column};

const CREDENTIAL: &str = "SELECT client_id, current_salt, current_hash, previous_salt, previous_hash, \
     previous_expires_at, token_epoch, version, created_at FROM credentials WHERE client_id = $1";

const REPLACE: &str = "UPDATE credentials SET current_salt = $2, current_hash = $3, previous_salt = $4, \
     previous_hash = $5, previous_expires_at = $6, token_epoch = $7, version = $8, created_at = $9 \
     WHERE client_id = $1 AND version = $10";

/// Two look-ups by key; an OR over both kinds could become a scan.
const TOKEN_STATE: &str = "SELECT (SELECT token_epoch FROM credentials WHERE client_id = $1), \
     EXISTS (SELECT 1 FROM revocations WHERE kind = 'SESSION' AND id = $2) \
     OR EXISTS (SELECT 1 FROM revocations WHERE kind = 'TOKEN' AND id = $3)";

#[async_trait]
impl Credentials for PostgresStorage {
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
        let row: Option<CredentialRow> = self
            .statement(|mut session| async move {
                let query = session.query_as(CREDENTIAL).bind(client_id.to_string());
                let row = query.fetch_optional(&mut *session).await?;
                session.commit(row).await
            })
            .await?;
        row.map(ClientCredential::try_from).transpose()
    }

    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
        let credential = &client.credential;
        let version = version_column(credential.version)?;
        let expected_version = expected_version_column(expected_version)?;
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let previous = credential.previous.as_ref();
            let updated = session
                .query(REPLACE)
                .bind(credential.client_id.to_string())
                .bind(&credential.current.salt[..])
                .bind(&credential.current.hash[..])
                .bind(previous.map(|previous| &previous.hash.salt[..]))
                .bind(previous.map(|previous| &previous.hash.hash[..]))
                .bind(previous.map(|previous| millis(previous.expires_at)))
                .bind(credential.token_epoch)
                .bind(version)
                .bind(millis(credential.created_at))
                .bind(expected_version)
                .execute(&mut *session)
                .await?;
            if updated.rows_affected() == 0 {
                return session.refuse(StorageError::Conflict).await;
            }
            insert_sealed(&mut session, client.sealed.as_ref()).await?;
            session.commit(()).await
        })
        .await
    }

    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            let updated = session
                .query("UPDATE credentials SET token_epoch = $2, version = version + 1 WHERE client_id = $1")
                .bind(client_id.to_string())
                .bind(epoch)
                .execute(&mut *session)
                .await?;
            session.commit(updated.rows_affected() > 0).await
        })
        .await
    }

    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret> {
        self.transaction(Repeat::UnlessCommitted, |mut session| async move {
            // Of concurrent calls the second one waits here, and sees what the first one took.
            let found: Option<Option<Vec<u8>>> = session
                .query_scalar(
                    "SELECT sealed FROM sealed_secrets WHERE token_hash = $1 AND client_id = $2 AND expires_at > $3 \
                     FOR NO KEY UPDATE",
                )
                .bind(&token_hash[..])
                .bind(client_id.to_string())
                .bind(millis(now))
                .fetch_optional(&mut *session)
                .await?;
            let sealed = match found {
                None => return session.commit(TakenSecret::Unknown).await,
                Some(None) => return session.commit(TakenSecret::AlreadyUsed).await,
                Some(Some(sealed)) => sealed,
            };
            session
                .query("UPDATE sealed_secrets SET sealed = NULL WHERE token_hash = $1")
                .bind(&token_hash[..])
                .execute(&mut *session)
                .await?;
            session.commit(TakenSecret::Taken(sealed)).await
        })
        .await
    }

    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
        let (kind, id) = match revocation {
            Revocation::Token(token) => ("TOKEN", token),
            Revocation::Session(session) => ("SESSION", session),
        };
        self.statement(|mut session| async move {
            // Of two instants the later one holds: a repeat never shortens a revocation.
            session
                .query(
                    "INSERT INTO revocations AS r (kind, id, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (kind, id) DO UPDATE SET expires_at = greatest(r.expires_at, excluded.expires_at)",
                )
                .bind(kind)
                .bind(id)
                .bind(millis(expires_at))
                .execute(&mut *session)
                .await?;
            session.commit(()).await
        })
        .await
    }

    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
        let token_session = session;
        let (token_epoch, revoked): (Option<Uuid>, bool) = self
            .statement(|mut session| async move {
                let query = session.query_as(TOKEN_STATE).bind(client_id.to_string()).bind(token_session).bind(token);
                let row = query.fetch_one(&mut *session).await?;
                session.commit(row).await
            })
            .await?;
        Ok(TokenState { token_epoch, revoked })
    }
}

/// Stores a new client with its sealed secret, as part of a larger step.
pub(super) async fn insert_client(session: &mut Session, client: &NewClient) -> Result<(), Failure> {
    let credential = &client.credential;
    let scope = &credential.client_id.0;
    let previous = credential.previous.as_ref();
    session
        .query(
            "INSERT INTO credentials (client_id, org_id, app_id, current_salt, current_hash, previous_salt, \
             previous_hash, previous_expires_at, token_epoch, version, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(credential.client_id.to_string())
        .bind(scope.org_id.0)
        .bind(scope.app_id.as_ref().map(AppId::as_str))
        .bind(&credential.current.salt[..])
        .bind(&credential.current.hash[..])
        .bind(previous.map(|previous| &previous.hash.salt[..]))
        .bind(previous.map(|previous| &previous.hash.hash[..]))
        .bind(previous.map(|previous| millis(previous.expires_at)))
        .bind(credential.token_epoch)
        .bind(version_column(credential.version)?)
        .bind(millis(credential.created_at))
        .execute(&mut **session)
        .await?;
    insert_sealed(session, client.sealed.as_ref()).await
}

async fn insert_sealed(session: &mut Session, sealed: Option<&SealedSecret>) -> Result<(), Failure> {
    let Some(secret) = sealed else { return Ok(()) };
    session
        .query("INSERT INTO sealed_secrets (token_hash, client_id, sealed, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(&secret.token_hash[..])
        .bind(secret.client_id.to_string())
        .bind(&secret.sealed[..])
        .bind(millis(secret.expires_at))
        .execute(&mut **session)
        .await?;
    Ok(())
}
