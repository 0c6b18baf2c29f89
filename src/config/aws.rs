//! `aws`: what is asked of AWS. Nothing, unless it is switched on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aws_pricing::is_region;
use super::key::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "aws.bedrock.enabled",
        "Whether `GetInferenceProfile` is asked which model is behind an `application-inference-profile`, on its first use",
        Kind::Bool,
    ),
    Key::new(
        "aws.bedrock.endpoint_url",
        "Asked instead of the public endpoint of the profile's region, for example a VPC endpoint",
        Kind::Text {
            expected: "an address such as https://bedrock.us-east-1.amazonaws.com, without credentials",
            accepts: is_endpoint,
        },
    ),
    // Below the shortest usual time-out of a request, whose submission waits for it.
    Key::new(
        "aws.bedrock.timeout_ms",
        "Time one question may take, repetitions included, and a submission waits for it",
        Kind::Int { min: 100, max: 10_000, unit: "milliseconds" },
    ),
    Key::new(
        "aws.secrets_manager.region",
        "Region of the secrets that are given by name; an ARN says its own",
        Kind::Text { expected: "an AWS region, such as us-east-1", accepts: is_region },
    ),
    Key::new(
        "aws.secrets_manager.endpoint_url",
        "Asked instead of the public endpoint of the region, for example a VPC endpoint",
        Kind::Text {
            expected: "an address such as https://secretsmanager.us-east-1.amazonaws.com, without credentials",
            accepts: is_endpoint,
        },
    ),
];

/// What is asked of AWS, with the credentials of its default chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// Which models are behind application inference profiles.
    pub bedrock: BedrockConfig,
    /// Where secrets are that are given by their id.
    #[serde(default)]
    pub secrets_manager: SecretsManagerConfig,
}

/// `GetSecretValue` of AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsManagerConfig {
    /// Region of secrets that are given by name; an ARN says its own. Unset, the default chain of AWS is asked.
    #[serde(default)]
    pub region: Option<String>,
    /// Where, instead of the public endpoint of the region.
    #[serde(default)]
    pub endpoint_url: Option<String>,
}

/// `GetInferenceProfile` of Amazon Bedrock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BedrockConfig {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Where, instead of the public endpoint of the profile's region.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// Milliseconds one question may take, repetitions included, and a submission waits for it.
    pub timeout_ms: u64,
}

impl BedrockConfig {
    /// [`timeout_ms`](Self::timeout_ms) as a duration.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Default for BedrockConfig {
    fn default() -> Self {
        Self { enabled: false, endpoint_url: None, timeout_ms: 3_000 }
    }
}

fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'/' | b'[' | b']' | b'_');
        rest.bytes().all(plain) && rest.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_credentials() {
        for good in ["https://bedrock.us-east-1.amazonaws.com", "http://127.0.0.1:4566", "http://[::1]:80/base"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "bedrock.local", "ftp://x", "http://", "http:///x", "https://user:hush@x", "http://a b"] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
