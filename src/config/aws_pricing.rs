//! `pricing.aws`: prices published by AWS.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new("pricing.aws.enabled", "Whether prices are fetched daily from the AWS Price List", Kind::Bool),
    Key::new(
        "pricing.aws.region",
        "Region whose Pricing API is asked; it answers for all regions",
        Kind::Text { expected: "an AWS region, such as us-east-1", accepts: is_region },
    ),
    Key::new(
        "pricing.aws.endpoint_url",
        "Another address of the Pricing API, such as a VPC endpoint",
        Kind::Text { expected: "http:// or https:// and a host, without credentials", accepts: is_endpoint },
    ),
    Key::new(
        "pricing.aws.max_cache_age_days",
        "Time a fetched list stays in force while AWS cannot be reached",
        Kind::Int { min: 1, max: 3660, unit: "days" },
    ),
];

/// The AWS Price List.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsPricingConfig {
    /// Whether prices are fetched from AWS.
    pub enabled: bool,
    /// Region whose Pricing API is asked; it answers for all regions.
    pub region: String,
    /// Another address of the Pricing API, such as a VPC endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// Days a fetched list stays in force when AWS cannot be reached.
    pub max_cache_age_days: u32,
}

impl Default for AwsPricingConfig {
    fn default() -> Self {
        Self { enabled: false, region: "us-east-1".to_owned(), endpoint_url: None, max_cache_age_days: 30 }
    }
}

pub(super) fn is_region(text: &str) -> bool {
    (5..=30).contains(&text.len())
        && text.contains('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_and_a_host_and_no_credentials() {
        for good in ["https://pricing.example", "http://127.0.0.1:8000", "http://[::1]:8000/x"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in ["", "https://", "ftp://a", "https://u:p@host", "https://a b", "pricing.example", "https://a?b"] {
            assert!(!is_endpoint(bad), "{bad}");
        }
        assert!(is_region("ap-southeast-2") && !is_region("Virginia") && !is_region("useast1"));
    }
}
