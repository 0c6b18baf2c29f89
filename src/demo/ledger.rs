//! What clients add up themselves, to be compared with what the service counted.

use std::collections::BTreeMap;

use serde_json::Value;

/// Token counts of one call, as its Converse response said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
}

impl Tokens {
    /// Reads a `usage` object; `None` where it is none.
    pub(super) fn of(usage: &Value) -> Option<Self> {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        Some(Self {
            input: count("inputTokens")?,
            output: count("outputTokens")?,
            cache_read: count("cacheReadInputTokens").unwrap_or(0),
        })
    }
}

/// What was added up under one key. Cost is exact: micro-dollars per million tokens are pico-dollars per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) tokens: Tokens,
    pub(super) pico_usd: u128,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.tokens.input += other.tokens.input;
        self.tokens.output += other.tokens.output;
        self.tokens.cache_read += other.tokens.cache_read;
        self.pico_usd += other.pico_usd;
    }
}

/// Rounded half-up, as every figure the service answers.
pub(super) fn micros(pico_usd: u128) -> u128 {
    (pico_usd + 500_000) / 1_000_000
}

/// Day, application and model label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LedgerKey {
    pub(super) day: String,
    pub(super) app: String,
    pub(super) label: String,
}

/// Tallies by day, application and label.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<LedgerKey, Tally>);

impl Ledger {
    /// Adds one call.
    pub(super) fn add_call(&mut self, key: LedgerKey, tokens: Tokens, pico_usd: u128) {
        self.0.entry(key).or_default().add(&Tally { requests: 1, tokens, pico_usd });
    }

    /// Adds everything another client added up.
    pub(super) fn merge(&mut self, other: Self) {
        for (key, tally) in other.0 {
            self.0.entry(key).or_default().add(&tally);
        }
    }

    /// Every tally.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LedgerKey, &Tally)> {
        self.0.iter()
    }

    /// Number of tallies.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The sum of all.
    pub(super) fn total(&self) -> Tally {
        self.0.values().fold(Tally::default(), |mut total, tally| {
            total.add(tally);
            total
        })
    }
}
