//! ARNs of inference profiles.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::ids::InvalidId;

/// Longest ARN of a profile; AWS allows 2048 for a model id.
const MAX_LEN: usize = 2048;
/// Longest resource id: AWS gives 12 characters to opaque ones, and model ids are far shorter than this.
const MAX_RESOURCE_LEN: usize = 256;
/// Longest region and partition; the region becomes part of a host name.
const MAX_WORD_LEN: usize = 32;

/// What an ARN says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileKind {
    /// `inference-profile/<prefixed model id>`: the id says what is called.
    System,
    /// `application-inference-profile/<opaque id>`: only AWS knows what is behind it.
    Application,
}

/// The ARN of an inference profile:
/// `arn:<partition>:bedrock:<region>:<account>:(application-)inference-profile/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProfileArn {
    text: Arc<str>,
    kind: ProfileKind,
    region: Arc<str>,
}

impl ProfileArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which kind of profile.
    #[must_use]
    pub fn kind(&self) -> ProfileKind {
        self.kind
    }

    /// Whether only AWS knows what is behind it.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.kind == ProfileKind::Application
    }

    /// Its region. Bedrock takes a profile only in the region it was made in, so that is where it is called.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The ARN of an opaque profile in a model id, if it is one: what has to be resolved before it can be priced.
    #[must_use]
    pub fn opaque(model_id: &str) -> Option<Self> {
        // Most model ids are no ARN at all.
        model_id.starts_with("arn:").then(|| model_id.parse().ok()).flatten().filter(Self::is_opaque)
    }
}

impl FromStr for ProfileArn {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        read(text).ok_or(InvalidId {
            what: "inference_profile_arn",
            expected: "the ARN of an inference profile, such as \
                       arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0 or \
                       arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
        })
    }
}

impl fmt::Display for ProfileArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn read(text: &str) -> Option<ProfileArn> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut parts = text.splitn(6, ':');
    let head = [parts.next()?, parts.next()?, parts.next()?];
    let [region, account, resource] = [parts.next()?, parts.next()?, parts.next()?];
    let ["arn", partition, "bedrock"] = head else { return None };
    let (kind, id) = resource.split_once('/')?;
    let kind = match kind {
        "inference-profile" => ProfileKind::System,
        "application-inference-profile" => ProfileKind::Application,
        _ => return None,
    };
    let account_ok = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let id_ok = (1..=MAX_RESOURCE_LEN).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':'))
        // A path segment of the request that asks AWS: never one with a meaning of its own.
        && id.bytes().any(|byte| byte.is_ascii_alphanumeric());
    let valid = is_partition(partition) && is_region(region) && account_ok && id_ok;
    valid.then(|| ProfileArn { text: text.into(), kind, region: region.into() })
}

/// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso-b`, …
fn is_partition(text: &str) -> bool {
    text.len() <= MAX_WORD_LEN
        && text.strip_prefix("aws").is_some_and(|rest| rest.split('-').skip(1).all(is_lower))
        && (text == "aws" || text.starts_with("aws-"))
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`, …: words of small letters and a number at the end.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    text.len() <= MAX_WORD_LEN
        && words.contains('-')
        && words.split('-').all(is_lower)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_lower(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pricing::ModelRef;
    use proptest::prelude::*;

    #[test]
    fn both_kinds_in_every_partition_are_read() {
        for (arn, kind, region) in [
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
                ProfileKind::System,
                "us-east-1",
            ),
            (
                "arn:aws:bedrock:eu-south-2:123456789012:application-inference-profile/a1b2c3d4e5f6",
                ProfileKind::Application,
                "eu-south-2",
            ),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1:000000000000:inference-profile/us-gov.a.m-v1:0",
                ProfileKind::System,
                "us-gov-west-1",
            ),
            (
                "arn:aws-cn:bedrock:cn-north-1:123456789012:application-inference-profile/x",
                ProfileKind::Application,
                "cn-north-1",
            ),
            (
                "arn:aws-iso-b:bedrock:us-isob-east-1:123456789012:application-inference-profile/x",
                ProfileKind::Application,
                "us-isob-east-1",
            ),
        ] {
            let read: ProfileArn = arn.parse().unwrap();
            assert_eq!((read.as_str(), read.kind(), read.region()), (arn, kind, region));
            // Exactly the opaque ones say nothing about their model.
            assert_eq!(read.is_opaque(), ModelRef::parse(arn).is_none(), "{arn}");
            assert_eq!(ProfileArn::opaque(arn).is_some(), read.is_opaque());
        }
    }

    #[test]
    fn what_is_no_arn_of_a_profile_is_refused() {
        let long = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{}", "x".repeat(257));
        for text in [
            "",
            "arn:",
            "us.amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/..",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/a/b",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/a b",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/é",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile",
            "arn:aws:bedrock:us-east-1:12345678901:inference-profile/x",
            "arn:aws:bedrock:us-east-1::inference-profile/x",
            "arn:aws:bedrock:us-east-1:12345678901a:inference-profile/x",
            "arn:aws:bedrock::123456789012:inference-profile/x",
            "arn:aws:bedrock:us-east:123456789012:inference-profile/x",
            "arn:aws:bedrock:us.evil-east-1:123456789012:inference-profile/x",
            "arn:aws:bedrock:-east-1:123456789012:inference-profile/x",
            "arn:aws:bedrock:US-EAST-1:123456789012:inference-profile/x",
            "arn:aws:s3:us-east-1:123456789012:inference-profile/x",
            "arn:awsome:bedrock:us-east-1:123456789012:inference-profile/x",
            "arn:aws-:bedrock:us-east-1:123456789012:inference-profile/x",
            "arn:gcp:bedrock:us-east-1:123456789012:inference-profile/x",
            "arn:aws:bedrock:us-east-1:123456789012:foundation-model/amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/x",
            " arn:aws:bedrock:us-east-1:123456789012:inference-profile/x",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x\n",
            &long,
        ] {
            assert!(text.parse::<ProfileArn>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_what_is_read_is_kept(text in "\\PC*", region in "[a-z0-9-]{0,40}") {
            let forms = [
                text.clone(),
                format!("arn:{text}"),
                format!("arn:aws:bedrock:{text}"),
                format!("arn:aws:bedrock:{region}:123456789012:inference-profile/{text}"),
                format!("arn:aws{text}:bedrock:{region}:123456789012:application-inference-profile/x"),
            ];
            for form in forms {
                if let Ok(arn) = form.parse::<ProfileArn>() {
                    prop_assert_eq!(arn.as_str(), form.as_str());
                    let host = arn.region().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                    prop_assert!(host && !arn.region().is_empty());
                }
                let _ = ProfileArn::opaque(&form);
            }
        }
    }
}
