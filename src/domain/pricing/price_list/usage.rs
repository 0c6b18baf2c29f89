//! What a row of the price list charges, read from the words of its usage type.
//!
//! There are three spellings of the same thing: `USE1-NovaPro-cache-read-input-token-count`,
//! `USE1-MP:USE1_CacheReadInputTokenCount_Global-Units` and `USE1-MP:USE1_cache_read_tokens_global_standard-Units`. As
//! words they are one language, and words are compared whole: `CacheWrite1hInputTokenCount` ends in
//! `InputTokenCount` and is no input price all the same.

use super::super::{Latency, ServiceTier};
use super::Skip;
use super::list::Route;

/// Longest text that is taken apart; published usage types stay below a hundred.
const MAX_TEXT: usize = 300;

/// What is charged per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite5m,
    CacheWrite1h,
    /// Written for another time, such as half an hour: the usual cache write of models that have no other.
    CacheWriteOther,
}

/// What a row charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) kind: Kind,
    pub(super) route: Route,
    pub(super) tier: ServiceTier,
    pub(super) latency: Latency,
    /// The price of requests with a long prompt.
    pub(super) long: bool,
    /// Charged by the OpenAI-compatible endpoint, not the Converse runtime.
    pub(super) mantle: bool,
}

/// A usage type without its billing prefixes, which tell nothing: they cannot be derived from the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsageType<'a> {
    /// The text after the prefixes.
    pub(super) rest: &'a str,
    /// A model of the marketplace: priced per million, named by its service.
    pub(super) marketplace: bool,
}

impl<'a> UsageType<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let prefix = |code: &str| {
            (2..=6).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let rest = text.split_once('-').filter(|(code, _)| prefix(code)).map_or(text, |(_, rest)| rest);
        let Some(dimension) = rest.strip_prefix("MP:") else { return Some(Self { rest, marketplace: false }) };
        let dimension = dimension.split_once('_').filter(|(code, _)| prefix(code)).map_or(dimension, |(_, rest)| rest);
        Some(Self { rest: dimension.strip_suffix("-Units").unwrap_or(dimension), marketplace: true })
    }

    /// What stands before the charge: a model id, or a compressed name.
    pub(super) fn stem(&self) -> &'a str {
        const STARTS: [&str; 7] =
            ["-text-input", "-text-output", "-input", "-output", "-response", "-cache", "-mantle"];
        let lower = self.rest.to_ascii_lowercase();
        let end = STARTS.iter().filter_map(|start| lower.find(start)).min().unwrap_or(0);
        self.rest.get(..end).unwrap_or_default()
    }

    /// The model id inside, where there is one.
    pub(super) fn model_id(&self) -> Option<&'a str> {
        Some(self.stem()).filter(|stem| is_model_id(stem))
    }
}

/// `vendor.model`, as Bedrock writes ids; no display name looks like it.
pub(super) fn is_model_id(text: &str) -> bool {
    let Some((vendor, model)) = text.split_once('.') else { return false };
    text.len() <= 100
        && vendor.len() >= 2
        && vendor.starts_with(|c: char| c.is_ascii_lowercase())
        && vendor.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && model.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && model.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':' | b'_'))
}

/// A text as lower-case words: at every character that is none, and where a capital follows a small letter or digit.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for c in text.chars().take(MAX_TEXT) {
        let boundary = !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && small);
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Words of rows that charge no call of a published model on demand.
const NOT_ON_DEMAND: &[&str] = &[
    "commit",
    "commitment",
    "custom",
    "customization",
    "customisation",
    "distillation",
    "evaluation",
    "finetune",
    "finetuned",
    "finetuning",
    "hosting",
    "import",
    "imported",
    "provisioned",
    "reserved",
    "reservation",
    "rft",
    "storage",
    "tpm",
    "train",
    "training",
    "trained",
];

/// Words of rows that charge something other than text.
const OTHER_MODALITY: &[&str] = &[
    "audio",
    "document",
    "documents",
    "frame",
    "guardrail",
    "guardrails",
    "grounding",
    "image",
    "images",
    "page",
    "pages",
    "queries",
    "query",
    "search",
    "second",
    "seconds",
    "speech",
    "step",
    "steps",
    "video",
    "videos",
];

/// Tiers this version does not know.
const UNKNOWN_TIER: &[&str] = &["fast", "turbo", "scale"];

/// The words of a row.
struct Words(Vec<String>);

impl Words {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().flat_map(words).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }

    fn any(&self, list: &[&str]) -> bool {
        list.iter().any(|word| self.has(word))
    }

    fn pair(&self, first: &str, second: &str) -> bool {
        self.0.iter().zip(self.0.iter().skip(1)).any(|(a, b)| a == first && b == second)
    }

    fn kind(&self) -> Option<Kind> {
        if self.any(&["cacheread", "cached"]) || self.pair("cache", "read") || self.pair("cache", "reads") {
            return Some(Kind::CacheRead);
        }
        let write = |word: &str| word.starts_with("write") || word.starts_with("cachewrite");
        if self.0.iter().any(|word| write(word)) {
            return Some(self.cache_write());
        }
        if self.0.iter().any(|word| word.starts_with("cache")) || !self.any(&["token", "tokens"]) {
            return None;
        }
        match (self.any(&["input", "prompt"]), self.any(&["output", "response"])) {
            (true, false) => Some(Kind::Input),
            (false, true) => Some(Kind::Output),
            _ => None,
        }
    }

    fn cache_write(&self) -> Kind {
        let after_write = |word: &str| {
            let rest = word.strip_prefix("cachewrite").or_else(|| word.strip_prefix("write"))?;
            Some(rest.to_owned())
        };
        let times = self.0.iter().map(|word| after_write(word).unwrap_or_else(|| word.clone()));
        let mut kind = Kind::CacheWrite5m;
        for time in times {
            match time.as_str() {
                "1h" | "1hr" | "1hour" | "60m" | "60min" => return Kind::CacheWrite1h,
                "5m" | "5min" => return Kind::CacheWrite5m,
                other if is_time(other) => kind = Kind::CacheWriteOther,
                _ => {}
            }
        }
        match self.pair("1", "h") || self.pair("1", "hr") || self.pair("1", "hour") {
            true => Kind::CacheWrite1h,
            false => kind,
        }
    }

    fn route(&self) -> Route {
        if self.has("global") {
            Route::Global
        } else if self.any(&["geo", "regional"]) || self.pair("cross", "region") {
            Route::Geo
        } else {
            Route::Regional
        }
    }

    fn tier(&self) -> ServiceTier {
        match (self.has("batch"), self.has("flex"), self.has("priority")) {
            (true, ..) => ServiceTier::Batch,
            (_, true, _) => ServiceTier::Flex,
            (.., true) => ServiceTier::Priority,
            _ => ServiceTier::Default,
        }
    }

    fn latency(&self) -> Latency {
        let optimized = ["optimized", "optimised"].iter().any(|word| self.pair("latency", word));
        if optimized || self.has("latencyoptimized") { Latency::Optimized } else { Latency::Standard }
    }

    fn long(&self) -> bool {
        self.any(&["lctx", "longcontext", "longctx"]) || self.pair("long", "ctx") || self.pair("long", "context")
    }
}

/// `30m`, `2h`, `1d`.
fn is_time(word: &str) -> bool {
    word.strip_suffix(['s', 'm', 'h', 'd'])
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Texts of a row that say what it charges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) usage: UsageType<'a>,
    pub(super) inference_type: &'a str,
    pub(super) token_type: &'a str,
    pub(super) feature: &'a str,
    pub(super) model: &'a str,
    pub(super) service_tier: &'a str,
}

/// What a row charges, or why it counts for nothing here.
pub(super) fn classify(texts: &Texts<'_>) -> Result<Usage, Skip> {
    let Texts { usage, inference_type, token_type, feature, model, service_tier } = *texts;
    // Words of a model's id or name are no words about the charge: there are models named "image" and "custom".
    let charge = match usage.marketplace {
        true => usage.rest,
        false => usage.rest.get(usage.stem().len()..).unwrap_or_default(),
    };
    let all = Words::of([charge, inference_type, token_type, feature, service_tier]);
    if all.any(NOT_ON_DEMAND) || Words::of([model, usage.rest]).any(&["custom", "customization", "provisioned"]) {
        return Err(Skip::NotOnDemand);
    }
    if all.any(OTHER_MODALITY) {
        return Err(Skip::OtherModality);
    }
    if all.any(UNKNOWN_TIER) {
        return Err(Skip::UnknownTier);
    }
    let charge = Words::of([charge]);
    let kind = charge
        .kind()
        .or_else(|| Words::of([inference_type]).kind())
        .or_else(|| Words::of([token_type]).kind())
        .ok_or(Skip::UnknownCharge)?;
    Ok(Usage {
        kind,
        route: all.route(),
        tier: tier(service_tier, &all)?,
        latency: Words::of([usage.rest, model, inference_type, feature]).latency(),
        long: all.long(),
        mantle: all.has("mantle"),
    })
}

/// The attribute and the words must not contradict each other.
fn tier(service_tier: &str, all: &Words) -> Result<ServiceTier, Skip> {
    let named = match service_tier.trim().to_ascii_lowercase().as_str() {
        "" => return Ok(all.tier()),
        "standard" | "default" | "on-demand" => ServiceTier::Default,
        "priority" => ServiceTier::Priority,
        "flex" => ServiceTier::Flex,
        "batch" => ServiceTier::Batch,
        _ => return Err(Skip::UnknownTier),
    };
    if named == all.tier() { Ok(named) } else { Err(Skip::UnknownTier) }
}
