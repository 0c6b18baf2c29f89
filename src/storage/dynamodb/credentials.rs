//! Client credentials, one-time secrets and revocations.
//!
//! An application's client ends with its organization at once, although its items are deleted later: whoever reads it
//! reads the organization too.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use uuid::Uuid;

use super::attributes::{
    Item, b, bytes, epoch_secs, instant_of, item, ms, n, number, optional_blob, optional_instant, parsed, s,
};
use super::connect::DynamoDbStorage;
use super::keys::{self, EXPIRES, Key};
use super::tenants::{ALIVE, is_alive};
use super::writes::{Commit, Step};
use crate::domain::credential::{ClientCredential, PreviousSecret, SealedSecret, SecretHash};
use crate::domain::ids::ClientId;
use crate::storage::contract::{Credentials, NewClient, Result, Revocation, TakenSecret, TokenState};
use crate::storage::error::StorageError;

#[async_trait]
impl Credentials for DynamoDbStorage {
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
        let found = self.batch_get(of_client(client_id), true).await?;
        living(&found, client_id).map(|item| credential_of(client_id, item)).transpose()
    }

    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
        let client_id = &client.credential.client_id;
        let replace = self
            .put(&keys::credential(client_id), credential_attributes(&client.credential))
            .condition_expression("ver = :expected")
            .expression_attribute_values(":expected", n(expected_version));
        let mut steps = vec![replace.step()?];
        steps.extend(self.secret_step(client.sealed.as_ref())?);
        steps.extend(self.parent_step(client_id)?);
        match self.commit(steps).await? {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StorageError::Conflict),
        }
    }

    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
        let change = self
            .update(&keys::credential(client_id))
            .update_expression("SET epoch = :epoch ADD ver :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":epoch", s(epoch.as_hyphenated().to_string()))
            .expression_attribute_values(":one", n(1));
        let mut steps = vec![change.step()?];
        steps.extend(self.parent_step(client_id)?);
        Ok(matches!(self.commit(steps).await?, Commit::Done))
    }

    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret> {
        self.watermark.saw(now);
        let secret = keys::secret(client_id, token_hash);
        // The condition below decides who takes it; the bytes never change, so reading them first is safe.
        let found = self.batch_get(of_client(client_id).into_iter().chain([secret.clone()]), true).await?;
        let Some(stored) = found.get(&secret).filter(|_| living(&found, client_id).is_some()) else {
            return Ok(TakenSecret::Unknown);
        };
        let expires_at = instant_of(stored, "config.expires_ms")?;
        if expires_at <= now || self.watermark.hides(expires_at) {
            return Ok(TakenSecret::Unknown);
        }
        let Some(sealed) = optional_blob(stored, "config.sealed")? else { return Ok(TakenSecret::AlreadyUsed) };
        let take = self
            .update(&secret)
            .update_expression("REMOVE sealed")
            .condition_expression("attribute_exists(sealed)")
            .step()?;
        let client = self.check(&keys::credential(client_id)).condition_expression("attribute_exists(pk)").step()?;
        let mut steps = vec![take, client];
        steps.extend(self.parent_step(client_id)?);
        match self.commit(steps).await? {
            Commit::Done => Ok(TakenSecret::Taken(sealed.to_vec())),
            Commit::Refused(refusals) if refusals.item(0).is_some() => Ok(TakenSecret::AlreadyUsed),
            Commit::Refused(_) => Ok(TakenSecret::Unknown),
        }
    }

    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
        // Of two instants the later one holds: a repeat never shortens a revocation.
        let revoke = self
            .update(&keys::revocation(revocation))
            .update_expression("SET expires_ms = :millis, expires = :seconds")
            .condition_expression("attribute_not_exists(pk) OR expires_ms < :millis")
            .expression_attribute_values(":millis", ms(expires_at))
            .expression_attribute_values(":seconds", n(epoch_secs(expires_at)));
        self.write_one(revoke.step()?).await?;
        Ok(())
    }

    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
        let revocations = [Revocation::Session(session), Revocation::Token(token)].map(keys::revocation);
        let found = self.batch_get(of_client(client_id).into_iter().chain(revocations.clone()), true).await?;
        let epoch = living(&found, client_id).map(|item| parsed(item, "config.epoch")).transpose()?;
        let mut revoked = false;
        for revocation in revocations.iter().filter_map(|key| found.get(key)) {
            revoked |= !self.watermark.hides(instant_of(revocation, "config.expires_ms")?);
        }
        Ok(TokenState { token_epoch: epoch, revoked })
    }
}

impl DynamoDbStorage {
    /// The steps that store a new client, as part of a larger one.
    pub(super) fn client_steps(&self, client: &NewClient) -> Result<Vec<TransactWriteItem>> {
        let credential = &client.credential;
        let mut steps =
            vec![self.put(&keys::credential(&credential.client_id), credential_attributes(credential)).step()?];
        steps.extend(self.secret_step(client.sealed.as_ref())?);
        Ok(steps)
    }

    fn secret_step(&self, secret: Option<&SealedSecret>) -> Result<Option<TransactWriteItem>> {
        let Some(secret) = secret else { return Ok(None) };
        let attributes = item([
            ("sealed", b(secret.sealed.as_slice())),
            ("expires_ms", ms(secret.expires_at)),
            (EXPIRES, n(epoch_secs(secret.expires_at))),
        ]);
        self.put(&keys::secret(&secret.client_id, &secret.token_hash), attributes).step().map(Some)
    }

    /// Demands that the organization of an application's client is alive. An organization's own client ends with it in
    /// one step, so there it is enough to look at the credential.
    fn parent_step(&self, client_id: &ClientId) -> Result<Option<TransactWriteItem>> {
        if client_id.0.app_id.is_none() {
            return Ok(None);
        }
        self.check(&keys::org(client_id.0.org_id)).condition_expression(ALIVE).step().map(Some)
    }
}

/// What decides whether a client exists.
fn of_client(client_id: &ClientId) -> Vec<Key> {
    let mut wanted = vec![keys::credential(client_id)];
    if client_id.0.app_id.is_some() {
        wanted.push(keys::org(client_id.0.org_id));
    }
    wanted
}

/// The credential of a client that exists, among what [`of_client`] found.
fn living<'a>(found: &'a HashMap<Key, Item>, client_id: &ClientId) -> Option<&'a Item> {
    let alive = client_id.0.app_id.is_none() || is_alive(found.get(&keys::org(client_id.0.org_id)));
    found.get(&keys::credential(client_id)).filter(|_| alive)
}

fn credential_attributes(credential: &ClientCredential) -> Item {
    let mut attributes = item([
        ("salt", b(credential.current.salt)),
        ("hash", b(credential.current.hash)),
        ("epoch", s(credential.token_epoch.as_hyphenated().to_string())),
        ("ver", n(credential.version)),
        ("created", ms(credential.created_at)),
    ]);
    if let Some(previous) = &credential.previous {
        attributes.extend(item([
            ("prev_salt", b(previous.hash.salt)),
            ("prev_hash", b(previous.hash.hash)),
            ("prev_until", ms(previous.expires_at)),
        ]));
    }
    attributes
}

fn credential_of(client_id: &ClientId, item: &Item) -> Result<ClientCredential> {
    let hash = |salt, hash| Ok::<_, StorageError>(SecretHash { salt: bytes(item, salt)?, hash: bytes(item, hash)? });
    let previous = match optional_instant(item, "config.prev_until")? {
        None => None,
        Some(expires_at) => Some(PreviousSecret { hash: hash("config.prev_salt", "config.prev_hash")?, expires_at }),
    };
    Ok(ClientCredential {
        client_id: client_id.clone(),
        current: hash("config.salt", "config.hash")?,
        previous,
        token_epoch: parsed(item, "config.epoch")?,
        version: number(item, "config.ver")?,
        created_at: instant_of(item, "config.created")?,
    })
}
