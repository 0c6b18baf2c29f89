//! What is priced when an opaque profile is called, from the models AWS lists behind it.
//!
//! AWS lists one foundation-model ARN for each place a call may be processed. They name one model; where they lie says
//! how a call is billed, always in the region it is made from:
//!
//! | regions of the ARNs | scope |
//! |---|---|
//! | one without a region among them | `global.` |
//! | several | geographic, by the table of [`geography`] |
//! | one | in-region, no prefix |

use std::collections::BTreeSet;

use crate::domain::pricing::{ModelRef, PriceScope};

/// Most models AWS may list: a bound for what is taken from outside, far above the number of its regions.
const MAX_MODELS: usize = 256;

/// What is priced when a profile is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProfileTarget {
    /// The model id with the prefix of its scope, as [`ModelRef`] reads it: `us.amazon.nova-pro-v1:0`.
    pub model_id: String,
    /// The model alone: `amazon.nova-pro-v1:0`.
    pub model: String,
}

/// Why the models behind a profile come to nothing that could be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableProfile {
    /// AWS lists no model.
    #[error("it has no model")]
    NoModel,
    /// AWS lists more than any profile has.
    #[error("it lists too many models")]
    TooMany,
    /// Something that is no foundation model, such as a custom model.
    #[error("it has something other than a foundation model")]
    NoFoundationModel,
    /// Different models: which one answered a call is not known.
    #[error("it has different models")]
    DifferentModels,
    /// Regions of no or of several geographies, so no price scope fits.
    #[error("its regions belong to no single geography")]
    UnknownGeography,
}

impl ProfileTarget {
    /// From the model ARNs AWS lists.
    ///
    /// # Errors
    /// [`UnusableProfile`] where they do not come to one model in one scope.
    pub fn of_models<'a>(model_arns: impl IntoIterator<Item = &'a str>) -> Result<Self, UnusableProfile> {
        let (mut model, mut regions) = (None, BTreeSet::new());
        for (count, arn) in model_arns.into_iter().enumerate() {
            if count >= MAX_MODELS {
                return Err(UnusableProfile::TooMany);
            }
            let (region, name) = foundation_model(arn).ok_or(UnusableProfile::NoFoundationModel)?;
            if *model.get_or_insert(name) != name {
                return Err(UnusableProfile::DifferentModels);
            }
            regions.insert(region);
        }
        let model = model.ok_or(UnusableProfile::NoModel)?.to_owned();
        let model_id = match (regions.contains(""), regions.len()) {
            (true, _) => format!("global.{model}"),
            (false, 1) => model.clone(),
            (false, _) => format!("{}.{model}", geography(&regions).ok_or(UnusableProfile::UnknownGeography)?),
        };
        Ok(Self { model_id, model })
    }
}

/// Region (empty where there is none) and id of `arn:<partition>:bedrock:<region>:<account>:foundation-model/<id>`.
fn foundation_model(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
    let (_partition, service, region, _account, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let id = resource.strip_prefix("foundation-model/")?;
    let plain = (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    // An id that reads as prefixed would be taken for another scope later on.
    let unprefixed = ModelRef::parse(id).is_some_and(|parsed| parsed.scope == PriceScope::InRegion);
    (service == "bedrock" && plain && unprefixed).then_some((region, id))
}

/// Regions that make up a profile smaller than its continent.
const COUNTRIES: [(&str, &[&str]); 3] = [
    ("jp", &["ap-northeast-1", "ap-northeast-3"]),
    ("au", &["ap-southeast-2", "ap-southeast-4", "ap-southeast-6"]),
    ("in", &["ap-south-1", "ap-south-2"]),
];
/// Continents, by the start of their regions' names. Regions of no continent (`il-`, `me-`, `af-`, `mx-`, and `ca-`
/// beside the United States) join the one that is among the others.
const CONTINENTS: [(&str, &str); 4] = [("us-gov", "us-gov-"), ("us", "us-"), ("eu", "eu-"), ("apac", "ap-")];
/// Geographies of their own where no continent is among the regions.
const ALONE: [(&str, &str); 2] = [("ca", "ca-"), ("sa", "sa-")];

/// The prefix of the geographic profile that has several regions. Which one a profile was copied from is not said by
/// AWS, but no two of its profiles for one model cover the same regions.
///
/// * All regions in one of [`COUNTRIES`]: that country.
/// * Regions of exactly one of [`CONTINENTS`], whatever else is beside them: that continent.
/// * No continent, and all regions of Canada or South America: those.
/// * Anything else: `None`; the call stays unpriced rather than being priced by a guess.
fn geography(regions: &BTreeSet<&str>) -> Option<&'static str> {
    if let Some((prefix, _)) = COUNTRIES.iter().find(|(_, own)| regions.iter().all(|region| own.contains(region))) {
        return Some(prefix);
    }
    let continent = |region: &str| CONTINENTS.iter().find(|(_, start)| region.starts_with(start)).map(|(geo, _)| *geo);
    let continents: BTreeSet<&str> = regions.iter().filter_map(|region| continent(region)).collect();
    match (continents.len(), continents.first()) {
        (1, Some(continent)) => CONTINENTS.iter().map(|(geo, _)| *geo).find(|geo| geo == continent),
        (0, _) => {
            ALONE.iter().find(|(_, start)| regions.iter().all(|region| region.starts_with(start))).map(|(geo, _)| *geo)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arns(regions: &[&str]) -> Vec<String> {
        regions
            .iter()
            .map(|region| format!("arn:aws:bedrock:{region}::foundation-model/amazon.nova-pro-v1:0"))
            .collect()
    }

    fn scope(regions: &[&str]) -> Result<String, UnusableProfile> {
        let target = ProfileTarget::of_models(arns(regions).iter().map(String::as_str))?;
        assert_eq!(target.model, "amazon.nova-pro-v1:0");
        let parsed = ModelRef::parse(&target.model_id).unwrap();
        assert_eq!(parsed.model, target.model);
        Ok(parsed.scope.to_string())
    }

    #[test]
    fn where_a_call_may_be_processed_decides_the_scope() {
        for (regions, expected) in [
            (&["us-east-1"][..], "in_region"),
            (&["us-east-1", "us-east-1"], "in_region"),
            (&["us-east-1", "us-west-2"], "geo:us"),
            (&["us-east-1", "us-east-2", "us-west-2", "ca-central-1"], "geo:us"),
            (&["us-gov-east-1", "us-gov-west-1"], "geo:us-gov"),
            (&["eu-central-1", "eu-west-1"], "geo:eu"),
            (&["eu-central-1", "il-central-1"], "geo:eu"),
            (&["ap-northeast-1", "ap-southeast-1", "ap-south-1"], "geo:apac"),
            (&["ap-northeast-1", "ap-northeast-2", "me-central-1"], "geo:apac"),
            (&["ap-northeast-1", "ap-northeast-3"], "geo:jp"),
            (&["ap-southeast-2", "ap-southeast-4"], "geo:au"),
            (&["ap-south-1", "ap-south-2"], "geo:in"),
            (&["ca-central-1", "ca-west-1"], "geo:ca"),
            (&["sa-east-1", "sa-west-1"], "geo:sa"),
            (&["us-east-1", ""], "global"),
            (&["", "us-east-1", "eu-west-1", "ap-south-1"], "global"),
            (&[""], "global"),
        ] {
            assert_eq!(scope(regions).as_deref(), Ok(expected), "{regions:?}");
        }
    }

    #[test]
    fn what_fits_no_scope_is_not_guessed_at() {
        for regions in
            [&["us-east-1", "eu-west-1"][..], &["il-central-1", "me-south-1"], &["us-gov-west-1", "us-east-1"]]
        {
            assert_eq!(scope(regions), Err(UnusableProfile::UnknownGeography), "{regions:?}");
        }
        let of = |arns: &[&str]| ProfileTarget::of_models(arns.iter().copied()).unwrap_err();
        let nova = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0";
        assert_eq!(of(&[]), UnusableProfile::NoModel);
        assert_eq!(
            of(&[nova, "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-lite-v1:0"]),
            UnusableProfile::DifferentModels
        );
        assert_eq!(of(&vec![nova; 257]), UnusableProfile::TooMany);
        for arn in [
            "",
            "amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-pro-v1:0/abc",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/",
            "arn:aws:bedrock:us-east-1::foundation-model/us.amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/arn:x",
            "arn:aws:s3:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        ] {
            assert_eq!(of(&[nova, arn]), UnusableProfile::NoFoundationModel, "{arn}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic_and_can_be_priced_afterwards(
            texts in proptest::collection::vec("\\PC{0,40}", 0..4),
            regions in proptest::collection::vec("([a-z]{2,4}(-[a-z]{1,8}){1,2}-[0-9])?", 1..5),
        ) {
            let _ = ProfileTarget::of_models(texts.iter().map(String::as_str));
            let wrapped: Vec<_> =
                texts.iter().map(|text| format!("arn:aws:bedrock:us-east-1::foundation-model/{text}")).collect();
            let _ = ProfileTarget::of_models(wrapped.iter().map(String::as_str));
            let known: Vec<_> = regions.iter().map(String::as_str).collect();
            if let Ok(target) = ProfileTarget::of_models(arns(&known).iter().map(String::as_str)) {
                prop_assert_eq!(ModelRef::parse(&target.model_id).unwrap().model, "amazon.nova-pro-v1:0");
            }
        }
    }
}
