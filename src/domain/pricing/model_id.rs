//! From what Bedrock calls a model to what a price is keyed by.

/// Where a call may be processed, which is what a price depends on besides the model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceScope {
    /// The model called directly, in any region without a price of its own.
    Default,
    /// The model called directly in one region.
    Region(String),
    /// A geographic inference profile, by its prefix (`us`, `eu`, …).
    Geo(String),
    /// The global inference profile.
    Global,
}

/// Prefixes of geographic inference profiles.
const GEO_PREFIXES: [&str; 9] = ["us-gov", "us", "eu", "apac", "jp", "au", "in", "ca", "sa"];

/// A model id taken apart: the model and the scope it is called at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The model without scope prefix; vendor, date and version kept.
    pub model: String,
    /// Scope named by the id itself.
    pub scope: PriceScope,
}

impl ModelRef {
    /// Takes a model id, a prefixed profile id or an ARN of either apart. An opaque ARN (an application inference
    /// profile) is kept whole: it names no model.
    #[must_use]
    pub fn parse(id: &str) -> Self {
        if let Some(rest) = id.strip_prefix("arn:") {
            // arn:partition:bedrock:region:account:kind/name
            let mut parts = rest.splitn(5, ':').skip(2);
            let region = parts.next().unwrap_or_default();
            let resource = parts.nth(1).unwrap_or_default();
            return match resource.split_once('/') {
                Some(("foundation-model", model)) if !region.is_empty() => {
                    Self { model: model.to_owned(), scope: PriceScope::Region(region.to_owned()) }
                }
                Some(("foundation-model" | "inference-profile", name)) => Self::parse_id(name),
                _ => Self { model: id.to_owned(), scope: PriceScope::Default },
            };
        }
        Self::parse_id(id)
    }

    fn parse_id(id: &str) -> Self {
        let (prefix, rest) = id.split_once('.').unwrap_or(("", id));
        let scope = match prefix {
            "global" => PriceScope::Global,
            geo if GEO_PREFIXES.contains(&geo) => PriceScope::Geo(geo.to_owned()),
            _ => return Self { model: id.to_owned(), scope: PriceScope::Default },
        };
        Self { model: rest.to_owned(), scope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_scope_prefix_is_stripped_and_the_rest_kept() {
        let cases = [
            ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", PriceScope::Default),
            ("us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", PriceScope::Geo("us".into())),
            ("us-gov.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", PriceScope::Geo("us-gov".into())),
            ("global.anthropic.x", "anthropic.x", PriceScope::Global),
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0",
                "amazon.nova-pro-v1:0",
                PriceScope::Region("eu-west-1".into()),
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
                "amazon.nova-pro-v1:0",
                PriceScope::Geo("us".into()),
            ),
        ];
        for (id, model, scope) in cases {
            assert_eq!(ModelRef::parse(id), ModelRef { model: model.into(), scope }, "{id}");
        }
    }

    #[test]
    fn an_opaque_profile_is_kept_whole() {
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
        assert_eq!(ModelRef::parse(arn).model, arn);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(id in "\\PC*") {
            let _ = ModelRef::parse(&id);
            let _ = ModelRef::parse(&format!("arn:{id}"));
        }
    }
}
