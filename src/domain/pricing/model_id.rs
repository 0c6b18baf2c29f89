//! From what Bedrock calls a model to what a price is keyed by.

use super::scope::PriceScope;

/// Other names of models that have a price: the left one is called, the right one is priced. Names that differ only
/// by a context-window suffix (`:28k`, `:200k`) need no line here.
const ALIASES: [(&str, &str); 12] = [
    ("amazon.nova-pro-v1", "amazon.nova-pro-v1:0"),
    ("amazon.nova-lite-v1", "amazon.nova-lite-v1:0"),
    ("amazon.nova-micro-v1", "amazon.nova-micro-v1:0"),
    ("amazon.nova-premier-v1", "amazon.nova-premier-v1:0"),
    ("amazon.nova-2-lite-v1", "amazon.nova-2-lite-v1:0"),
    ("amazon.titan-text-express-v1:0", "amazon.titan-text-express-v1"),
    ("amazon.titan-text-lite-v1:0", "amazon.titan-text-lite-v1"),
    ("amazon.titan-embed-text-v1:2", "amazon.titan-embed-text-v1"),
    ("cohere.embed-english-v3:0", "cohere.embed-english-v3"),
    ("cohere.embed-multilingual-v3:0", "cohere.embed-multilingual-v3"),
    ("cohere.command-r-v1", "cohere.command-r-v1:0"),
    ("cohere.command-r-plus-v1", "cohere.command-r-plus-v1:0"),
];

/// A model id taken apart, borrowed from the text it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRef<'a> {
    /// The model: no scope prefix; vendor, date and version kept; an alias replaced by the name that is priced.
    pub model: &'a str,
    /// Scope the id names.
    pub scope: PriceScope,
    /// Region the id names (an ARN does).
    pub region: Option<&'a str>,
}

impl<'a> ModelRef<'a> {
    /// Takes a model id, a prefixed id or an ARN apart. `None` for an ARN that names no model by itself, such as an
    /// application inference profile: only AWS knows what is behind it.
    #[must_use]
    pub fn parse(id: &'a str) -> Option<Self> {
        let Some(rest) = id.strip_prefix("arn:") else { return Some(Self::of_id(id, None)) };
        // arn:partition:bedrock:region:account:kind/name
        let mut parts = rest.splitn(5, ':');
        let service = parts.nth(1)?;
        let region = parts.next()?;
        let (kind, name) = parts.nth(1)?.split_once('/')?;
        let region = (!region.is_empty()).then_some(region);
        match (service, kind) {
            ("bedrock", "foundation-model" | "inference-profile") if !name.is_empty() => {
                Some(Self::of_id(name, region))
            }
            _ => None,
        }
    }

    fn of_id(id: &'a str, region: Option<&'a str>) -> Self {
        let (scope, model) = id
            .split_once('.')
            .and_then(|(prefix, rest)| Some((PriceScope::of_prefix(prefix)?, rest)))
            .unwrap_or((PriceScope::InRegion, id));
        Self { model: priced_name(model), scope, region }
    }
}

/// The name a model is priced by.
fn priced_name(model: &str) -> &str {
    let plain = without_context_suffix(model);
    ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain, |(_, priced)| priced)
}

/// `anthropic.claude-3-sonnet-20240229-v1:0:28k` is the same model as without `:28k`.
fn without_context_suffix(model: &str) -> &str {
    match model.rsplit_once(':') {
        Some((plain, suffix))
            if suffix
                .strip_suffix('k')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) =>
        {
            plain
        }
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(id: &str) -> Option<(String, String, Option<String>)> {
        ModelRef::parse(id).map(|r| (r.model.to_owned(), r.scope.to_string(), r.region.map(str::to_owned)))
    }

    #[test]
    fn every_form_of_a_model_id_comes_to_one_key() {
        let nova = "amazon.nova-pro-v1:0";
        let cases = [
            ("amazon.nova-pro-v1:0", "in_region", None),
            ("amazon.nova-pro-v1", "in_region", None),
            ("amazon.nova-pro-v1:0:24k", "in_region", None),
            ("us.amazon.nova-pro-v1:0", "geo:us", None),
            ("us-gov.amazon.nova-pro-v1:0", "geo:us-gov", None),
            ("global.amazon.nova-pro-v1:0", "global", None),
            ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0", "in_region", Some("eu-west-1")),
            ("arn:aws:bedrock:::foundation-model/amazon.nova-pro-v1:0", "in_region", None),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
                "geo:us",
                Some("us-east-1"),
            ),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.amazon.nova-pro-v1:0",
                "geo:us-gov",
                Some("us-gov-west-1"),
            ),
        ];
        for (id, scope, region) in cases {
            assert_eq!(parsed(id), Some((nova.into(), scope.into(), region.map(str::to_owned))), "{id}");
        }
    }

    #[test]
    fn an_arn_that_names_no_model_is_not_guessed_at() {
        for arn in [
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
            "arn:aws:s3:us-east-1:123456789012:foundation-model/amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/",
            "arn:",
            "arn:aws",
            "arn:aws:bedrock:us-east-1",
        ] {
            assert_eq!(parsed(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_prefix_that_is_no_scope_belongs_to_the_model() {
        assert_eq!(parsed("mars.amazon.x"), Some(("mars.amazon.x".into(), "in_region".into(), None)));
        assert_eq!(parsed(""), Some((String::new(), "in_region".into(), None)));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(id in "\\PC*") {
            let _ = ModelRef::parse(&id);
            let _ = ModelRef::parse(&format!("arn:{id}"));
            let _ = ModelRef::parse(&format!("arn:aws:bedrock:{id}"));
        }
    }
}
