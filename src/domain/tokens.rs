//! Token counts of one model call, as Bedrock reports them.

use serde::{Deserialize, Serialize};

/// Most tokens of one kind a single submission may report: far above any model's context, and low enough that
/// nine million such submissions still fit a signed 64-bit counter.
pub const MAX_TOKENS_PER_SUBMISSION: u64 = 1_000_000_000_000;

/// Tokens of one call. `input` excludes tokens read from or written to the prompt cache, as Converse reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TokenCounts {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens read from the cache.
    pub cache_read: u64,
    /// Prompt tokens written to the cache, of every time to live.
    pub cache_write: u64,
    /// The part of `cache_write` kept for one hour; the rest is kept for five minutes.
    pub cache_write_1h: u64,
}

impl TokenCounts {
    /// Tokens written to the cache for five minutes.
    #[must_use]
    pub const fn cache_write_5m(&self) -> u64 {
        self.cache_write.saturating_sub(self.cache_write_1h)
    }

    /// The whole prompt: what long-context prices are decided by.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        // Four admitted counts cannot overflow (4 × 10¹²).
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// Whether nothing was reported.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.prompt() == 0 && self.output == 0
    }
}
