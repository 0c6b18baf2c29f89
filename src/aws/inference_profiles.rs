//! `GetInferenceProfile`: which models are behind an application inference profile.
//!
//! The SDK repeats what is worth repeating (throttling, 5xx, broken connections) with growing, jittered pauses; all of
//! it together fits the configured time-out. The identity needs `bedrock:GetInferenceProfile` on the profiles.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::config::{Builder, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_bedrock::error::{DisplayErrorContext, SdkError};
use aws_sdk_bedrock::operation::get_inference_profile::GetInferenceProfileError;
use tokio::sync::OnceCell;

use crate::config::BedrockConfig;
use crate::domain::profile::{ProfileArn, ProfileTarget};
use crate::service::profiles::memo::{ProfileResolver, ResolveError};

/// Attempts of one question, the first included.
const MAX_ATTEMPTS: u32 = 3;
/// Pause before the first repetition; it doubles from there, with jitter.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Longest text of AWS that goes into the log.
const MAX_REASON_CHARS: usize = 300;

/// Asks Amazon Bedrock in the region of each profile.
pub struct BedrockProfiles {
    settings: BedrockConfig,
    credentials: Option<SharedCredentialsProvider>,
    /// Made on first use: whoever never uses an application profile never looks for credentials.
    client: OnceCell<Client>,
}

impl fmt::Debug for BedrockProfiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BedrockProfiles").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl BedrockProfiles {
    /// Asks with the credentials of the default chain: environment, profile files, SSO, web identity, container, instance.
    #[must_use]
    pub fn new(settings: BedrockConfig) -> Self {
        Self { settings, credentials: None, client: OnceCell::new() }
    }

    /// Asks with these credentials instead.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(SharedCredentialsProvider::new(credentials)), ..self }
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(|| self.make_client()).await
    }

    async fn make_client(&self) -> Client {
        let timeout = self.settings.timeout();
        // The region of each question is that of its profile; one is only given so that nobody searches for it.
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(MAX_ATTEMPTS)
                    .with_initial_backoff(INITIAL_BACKOFF)
                    .with_max_backoff(MAX_BACKOFF),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(timeout / 2)
                    .operation_attempt_timeout(timeout / 2)
                    .operation_timeout(timeout)
                    .build(),
            );
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let mut config = Builder::from(&loader.load().await);
        if let Some(endpoint) = &self.settings.endpoint_url {
            config = config.endpoint_url(endpoint);
        }
        Client::from_conf(config.build())
    }
}

#[async_trait]
impl ProfileResolver for BedrockProfiles {
    async fn resolve(&self, arn: &ProfileArn) -> Result<ProfileTarget, ResolveError> {
        let question = self.client().await.get_inference_profile().inference_profile_identifier(arn.as_str());
        let region = aws_sdk_bedrock::Config::builder().region(Region::new(arn.region().to_owned()));
        // Boxed: the SDK's futures are large.
        let answer = Box::pin(question.customize().config_override(region).send()).await;
        let profile = answer.map_err(|error| failure(&error))?;
        // A model without an ARN is as good as one that is no foundation model.
        let models = profile.models().iter().map(|model| model.model_arn().unwrap_or_default());
        Ok(ProfileTarget::of_models(models)?)
    }
}

fn failure(error: &SdkError<GetInferenceProfileError>) -> ResolveError {
    let reason = || DisplayErrorContext(error).to_string().chars().take(MAX_REASON_CHARS).collect();
    match error {
        SdkError::TimeoutError(_) => ResolveError::TimedOut,
        SdkError::ServiceError(refusal) => match refusal.err() {
            GetInferenceProfileError::ResourceNotFoundException(_) => ResolveError::NotFound,
            GetInferenceProfileError::AccessDeniedException(_) | GetInferenceProfileError::ValidationException(_) => {
                ResolveError::Refused(reason())
            }
            _ => ResolveError::Unavailable(reason()),
        },
        _ => ResolveError::Unavailable(reason()),
    }
}
