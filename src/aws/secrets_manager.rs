//! AWS Secrets Manager: the text of secrets by id.
//!
//! The identity needs `secretsmanager:GetSecretValue` on the secrets, and `kms:Decrypt` where they are under a key of its
//! own. The SDK's own debug output of errors is never used: it quotes answers, and an answer is a secret.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::config::SecretsManagerConfig;
use crate::config::secrets::{SecretStore, SecretStoreError, Stage};

/// Longest text of AWS that is passed on.
const MAX_REASON_CHARS: usize = 300;
/// Codes that stay until somebody changes a permission, a key or the secret.
const LASTING: [&str; 8] = [
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
    "ValidationException",
];

/// What one question may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time of an attempt.
    pub attempt_timeout: Duration,
    /// Attempts, the first included.
    pub attempts: u32,
    /// First pause between attempts; it doubles, with jitter.
    pub first_backoff: Duration,
    /// Time of everything together, finding credentials included.
    pub total_timeout: Duration,
}

impl Default for Limits {
    /// Fits the patience of whoever waits for a start.
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(5),
            attempts: 3,
            first_backoff: Duration::from_millis(200),
            total_timeout: Duration::from_secs(15),
        }
    }
}

/// AWS Secrets Manager, in the region of each secret.
pub struct SecretsManager {
    settings: SecretsManagerConfig,
    limits: Limits,
    credentials: Option<SharedCredentialsProvider>,
    /// Made on first use.
    client: OnceCell<Client>,
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SecretsManager {
    /// Asks with the credentials of the default chain: environment, profile files, SSO, web identity, container, instance.
    #[must_use]
    pub fn new(settings: SecretsManagerConfig) -> Self {
        Self { settings, limits: Limits::default(), credentials: None, client: OnceCell::new() }
    }

    /// Asks with these credentials instead.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(SharedCredentialsProvider::new(credentials)), ..self }
    }

    /// Asks within these limits instead.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    async fn make_client(&self) -> Client {
        let Limits { attempt_timeout, attempts, first_backoff, total_timeout } = self.limits;
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(first_backoff))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(attempt_timeout)
                    .operation_attempt_timeout(attempt_timeout)
                    .operation_timeout(total_timeout)
                    .build(),
            );
        if let Some(region) = &self.settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let mut config = Builder::from(&loader.load().await);
        if let Some(endpoint_url) = &self.settings.endpoint_url {
            config = config.endpoint_url(endpoint_url);
        }
        Client::from_conf(config.build())
    }

    async fn ask(&self, id: &str, stage: Stage) -> Result<SecretString, SecretStoreError> {
        let client = self.client.get_or_init(|| self.make_client()).await;
        let mut region = aws_sdk_secretsmanager::Config::builder();
        region.set_region(region_of(id).map(Region::new).or_else(|| client.config().region().cloned()));
        let question = client.get_secret_value().secret_id(id).version_stage(stage.label());
        // Boxed: the SDK's futures are large.
        let answer = Box::pin(question.customize().config_override(region).send()).await;
        let answer = answer.map_err(|error| self.failure(&error))?;
        match (answer.secret_string, answer.secret_binary) {
            (Some(text), _) => Ok(text.into()),
            (None, Some(_)) => Err(SecretStoreError::Binary),
            (None, None) => Err(SecretStoreError::Unavailable("the answer has no secret in it".to_owned())),
        }
    }

    fn failure(&self, error: &SdkError<GetSecretValueError>) -> SecretStoreError {
        match error {
            SdkError::ServiceError(refusal) => {
                if refusal.err().is_resource_not_found_exception() {
                    return SecretStoreError::NotFound;
                }
                let Some(code) = refusal.err().code() else {
                    let status = refusal.raw().status().as_u16();
                    return SecretStoreError::Unavailable(format!(
                        "an answer with status {status} that cannot be read"
                    ));
                };
                let text = format!("{code}: {}", refusal.err().message().unwrap_or("no message"));
                let text = text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
                match LASTING.contains(&code) {
                    true => SecretStoreError::Refused(text),
                    false => SecretStoreError::Unavailable(text),
                }
            }
            SdkError::TimeoutError(_) => self.timed_out(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => self.timed_out(),
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                SecretStoreError::Unavailable("no credentials of AWS, or no region".to_owned())
            }
            SdkError::DispatchFailure(_) => SecretStoreError::Unavailable("no connection".to_owned()),
            SdkError::ConstructionFailure(_) => {
                SecretStoreError::Unavailable("no region; set aws.secrets_manager.region".to_owned())
            }
            _ => SecretStoreError::Unavailable("the answer cannot be read".to_owned()),
        }
    }

    fn timed_out(&self) -> SecretStoreError {
        SecretStoreError::TimedOut(self.limits.total_timeout.as_secs())
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn text(&self, id: &str, stage: Stage) -> Result<SecretString, SecretStoreError> {
        let asking = tokio::time::timeout(self.limits.total_timeout, self.ask(id, stage));
        asking.await.unwrap_or_else(|_| Err(self.timed_out()))
    }
}

/// The region in an ARN.
fn region_of(id: &str) -> Option<String> {
    let mut parts = id.split(':');
    (parts.next() == Some("arn")).then(|| parts.nth(2).map(str::to_owned)).flatten().filter(|region| !region.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_its_region_and_a_name_does_not() {
        let arn = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:prod/keeper-AbCdEf";
        assert_eq!(region_of(arn).as_deref(), Some("cn-north-1"));
        for name in ["prod/keeper", "arn", "arn:aws:secretsmanager::123:secret:x", "x:y:z:region"] {
            assert_eq!(region_of(name), None, "{name}");
        }
    }
}
