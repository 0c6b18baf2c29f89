//! Keys of a running service, read from where its configuration says they are.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::Config;
use crate::config::secrets::{self, ResolvedSecrets, SecretStore, Which};
use crate::service::key_refresh::{KeySource, KeySourceError, Keys};
use crate::service::signing::TokenKeys;

/// AWS Secrets Manager, where the configuration names a secret in it.
#[must_use]
pub fn secret_store(config: &Config) -> Option<Arc<dyn SecretStore>> {
    #[cfg(feature = "aws")]
    if config.secret_sources.any_in_aws() {
        let settings = config.aws.secrets_manager.clone();
        return Some(Arc::new(crate::aws::secrets_manager::SecretsManager::new(settings)));
    }
    // A build without AWS refuses a configuration that wants it.
    #[cfg(not(feature = "aws"))]
    let _ = config;
    None
}

/// Resolved secrets as the services take them.
pub(super) fn keys(secrets: &ResolvedSecrets) -> Keys {
    let tokens = TokenKeys { signing: secrets.signing.clone(), verification: secrets.verification.clone() };
    Keys { tokens, provisioning: secrets.provisioning_keys.clone() }
}

/// Reads what the configuration says is in files or in a secret store. What it holds itself, and what was created at
/// start, stays as it is.
#[derive(Debug)]
pub struct ConfiguredKeys {
    config: Config,
    at_start: ResolvedSecrets,
    store: Option<Arc<dyn SecretStore>>,
}

impl ConfiguredKeys {
    /// The source of a configuration that was fetched, and of the secrets it was resolved to. `None` where there is
    /// nothing to read again, or it is not wanted.
    #[must_use]
    pub fn source(
        config: &Config,
        at_start: &ResolvedSecrets,
        store: Option<Arc<dyn SecretStore>>,
    ) -> Option<Arc<dyn KeySource>> {
        config.auth.secrets_refresh().filter(|_| config.secret_sources.any_reloads())?;
        Some(Arc::new(Self { config: config.clone(), at_start: at_start.clone(), store }))
    }
}

#[async_trait]
impl KeySource for ConfiguredKeys {
    async fn read(&self) -> Result<Keys, KeySourceError> {
        let failed = |error: secrets::SecretsError| KeySourceError(error.to_string());
        let config = secrets::fetch(&self.config, self.store.as_deref(), Which::Reloadable).await.map_err(failed)?;
        secrets::resolve_again(&config, &self.at_start).map(|secrets| keys(&secrets)).map_err(failed)
    }
}
