//! How models count their prompt tokens.
//!
//! Converse documents `inputTokens` as the tokens *outside* the cache. Models of some vendors have been seen to include
//! the cached ones, which would charge them twice. `totalTokens` tells which it was: it is the sum of what the model
//! counted apart.

use super::model_id::ModelRef;
use crate::domain::tokens::TokenCounts;

/// Vendors whose models have been seen to count cached tokens as input too.
const MAY_INCLUDE_CACHED: [&str; 1] = ["openai."];

/// The token counts of a Converse `usage` object with `input` outside the cache, whatever the model's habit is.
///
/// Only changes anything where `totalTokens` proves that cached tokens are part of the input: then it equals input plus
/// output, without them. And only for models of those vendors, or where the id does not tell the model (an application
/// inference profile that is not resolved yet): the record may be priced later, when the total is forgotten.
#[must_use]
pub fn without_cached_input(model_id: &str, tokens: TokenCounts, reported_total: Option<u64>) -> TokenCounts {
    let cached = tokens.cache_read.saturating_add(tokens.cache_write);
    let included = reported_total == tokens.input.checked_add(tokens.output);
    let habit = ModelRef::parse(model_id)
        .is_none_or(|called| MAY_INCLUDE_CACHED.iter().any(|vendor| called.model.starts_with(vendor)));
    match tokens.input.checked_sub(cached) {
        Some(input) if habit && included && cached > 0 && reported_total.is_some() => TokenCounts { input, ..tokens },
        _ => tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTED: TokenCounts =
        TokenCounts { input: 100, output: 10, cache_read: 60, cache_write: 0, cache_write_1h: 0 };

    #[test]
    fn cached_tokens_inside_the_input_are_taken_out_where_the_total_proves_it() {
        let input = |model: &str, total| without_cached_input(model, REPORTED, total).input;
        assert_eq!(input("openai.gpt-oss-120b-1:0", Some(110)), 40);
        assert_eq!(input("us.openai.gpt-5.4", Some(110)), 40);
        assert_eq!(input("openai.gpt-oss-120b-1:0", Some(170)), 100, "counted apart");
        assert_eq!(input("openai.gpt-oss-120b-1:0", None), 100, "no proof");
        assert_eq!(input("anthropic.claude-sonnet-4-6", Some(110)), 100, "not this vendor's habit");
        let opaque = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x";
        assert_eq!(input(opaque, Some(110)), 40, "nobody knows whose model it is, but the total proves it");
        assert_eq!(input(opaque, Some(170)), 100);
    }

    #[test]
    fn counts_that_cannot_be_inclusive_stay_as_they_are() {
        let odd = TokenCounts { input: 10, cache_read: 60, ..TokenCounts::default() };
        assert_eq!(without_cached_input("openai.gpt-5.4", odd, Some(10)), odd);
    }
}
