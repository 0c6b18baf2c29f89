//! Client credentials, one-time secrets and revocations.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::SqliteStorage;
use crate::domain::credential::{ClientCredential, SealedSecret};
use crate::domain::ids::{AppId, ClientId};
use crate::storage::contract::{Credentials, NewClient, Result, Revocation, TakenSecret, TokenState};
use crate::storage::error::StorageError;
use crate::storage::sql::columns::millis;
use crate::storage::sql::rows::{CredentialRow, expected_version_column, version_column};

#[async_trait]
impl Credentials for SqliteStorage {
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
        let row: Option<CredentialRow> = sqlx::query_as(
            "SELECT client_id, current_salt, current_hash, previous_salt, previous_hash, previous_expires_at, \
             token_epoch, version, created_at FROM credentials WHERE client_id = ?1",
        )
        .bind(client_id.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.map(ClientCredential::try_from).transpose()
    }

    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
        let credential = &client.credential;
        let previous = credential.previous.as_ref();
        let expected_version = expected_version_column(expected_version)?;
        let mut transaction = self.write().await?;
        let updated = sqlx::query(
            "UPDATE credentials SET current_salt = ?2, current_hash = ?3, previous_salt = ?4, previous_hash = ?5, \
             previous_expires_at = ?6, token_epoch = ?7, version = ?8, created_at = ?9 \
             WHERE client_id = ?1 AND version = ?10",
        )
        .bind(credential.client_id.to_string())
        .bind(&credential.current.salt[..])
        .bind(&credential.current.hash[..])
        .bind(previous.map(|previous| &previous.hash.salt[..]))
        .bind(previous.map(|previous| &previous.hash.hash[..]))
        .bind(previous.map(|previous| millis(previous.expires_at)))
        .bind(credential.token_epoch)
        .bind(version_column(credential.version)?)
        .bind(millis(credential.created_at))
        .bind(expected_version)
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() == 0 {
            return Err(StorageError::Conflict);
        }
        insert_sealed(&mut transaction, client.sealed.as_ref()).await?;
        Ok(transaction.commit().await?)
    }

    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
        let mut transaction = self.write().await?;
        let updated =
            sqlx::query("UPDATE credentials SET token_epoch = ?2, version = version + 1 WHERE client_id = ?1")
                .bind(client_id.to_string())
                .bind(epoch)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(updated.rows_affected() > 0)
    }

    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret> {
        // The write lock comes before the look: of concurrent calls the second one sees what the first one took.
        let mut transaction = self.write().await?;
        let found: Option<Option<Vec<u8>>> = sqlx::query_scalar(
            "SELECT sealed FROM sealed_secrets WHERE token_hash = ?1 AND client_id = ?2 AND expires_at > ?3",
        )
        .bind(&token_hash[..])
        .bind(client_id.to_string())
        .bind(millis(now))
        .fetch_optional(&mut *transaction)
        .await?;
        let sealed = match found {
            None => return Ok(TakenSecret::Unknown),
            Some(None) => return Ok(TakenSecret::AlreadyUsed),
            Some(Some(sealed)) => sealed,
        };
        sqlx::query("UPDATE sealed_secrets SET sealed = NULL WHERE token_hash = ?1")
            .bind(&token_hash[..])
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(TakenSecret::Taken(sealed))
    }

    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
        let (kind, id) = match revocation {
            Revocation::Token(token) => ("TOKEN", token),
            Revocation::Session(session) => ("SESSION", session),
        };
        let mut transaction = self.write().await?;
        // Of two instants the later one holds: a repeat never shortens a revocation.
        sqlx::query(
            "INSERT INTO revocations (kind, id, expires_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        )
        .bind(kind)
        .bind(id)
        .bind(millis(expires_at))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
        let (token_epoch, revoked): (Option<Uuid>, bool) = sqlx::query_as(
            "SELECT (SELECT token_epoch FROM credentials WHERE client_id = ?1), \
             EXISTS (SELECT 1 FROM revocations WHERE (kind = 'SESSION' AND id = ?2) OR (kind = 'TOKEN' AND id = ?3))",
        )
        .bind(client_id.to_string())
        .bind(session)
        .bind(token)
        .fetch_one(&self.readers)
        .await?;
        Ok(TokenState { token_epoch, revoked })
    }
}

/// Stores a new client with its sealed secret, as part of a larger step.
pub(super) async fn insert_client(connection: &mut SqliteConnection, client: &NewClient) -> Result<()> {
    let credential = &client.credential;
    let scope = &credential.client_id.0;
    let previous = credential.previous.as_ref();
    sqlx::query(
        "INSERT INTO credentials (client_id, org_id, app_id, current_salt, current_hash, previous_salt, \
         previous_hash, previous_expires_at, token_epoch, version, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
    .execute(&mut *connection)
    .await?;
    insert_sealed(connection, client.sealed.as_ref()).await
}

async fn insert_sealed(connection: &mut SqliteConnection, sealed: Option<&SealedSecret>) -> Result<()> {
    let Some(secret) = sealed else { return Ok(()) };
    sqlx::query("INSERT INTO sealed_secrets (token_hash, client_id, sealed, expires_at) VALUES (?1, ?2, ?3, ?4)")
        .bind(&secret.token_hash[..])
        .bind(secret.client_id.to_string())
        .bind(&secret.sealed[..])
        .bind(millis(secret.expires_at))
        .execute(connection)
        .await?;
    Ok(())
}
