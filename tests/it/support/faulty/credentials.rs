//! What was asked about credentials and tokens, in order.

use async_trait::async_trait;
use bedrock_cost_keeper::domain::credential::ClientCredential;
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::{Credentials, NewClient, Revocation, TakenSecret, TokenState};
use jiff::Timestamp;
use uuid::Uuid;

use super::{FaultyStore, Result};

impl FaultyStore {
    /// The calls since the last time this was asked.
    pub(crate) fn take_credential_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.credential_calls.lock().unwrap())
    }

    fn called(&self, method: &'static str) {
        self.credential_calls.lock().unwrap().push(method);
    }
}

#[async_trait]
impl Credentials for FaultyStore {
    async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
        self.called("credential");
        self.inner.credential(client_id).await
    }

    async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
        self.called("replace_credential");
        self.inner.replace_credential(client, expected_version).await
    }

    async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
        self.called("set_token_epoch");
        self.inner.set_token_epoch(client_id, epoch).await
    }

    async fn take_secret(&self, client_id: &ClientId, token_hash: &[u8; 32], now: Timestamp) -> Result<TakenSecret> {
        self.called("take_secret");
        self.inner.take_secret(client_id, token_hash, now).await
    }

    async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
        self.called("revoke");
        self.inner.revoke(revocation, expires_at).await
    }

    async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
        self.called("token_state");
        self.inner.token_state(client_id, session, token).await
    }
}
