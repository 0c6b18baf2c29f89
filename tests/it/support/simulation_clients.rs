//! Clients that call Bedrock at a pace of their own. Everything about them follows from a seed.

use serde_json::Value;

/// Clients of one application: the reference load.
pub(crate) const CLIENTS: u64 = 16;
/// Tokens a client uses on average in a second, and what they cost in micro-USD.
const INPUT_TOKENS_PER_SEC: u64 = 240;
const OUTPUT_TOKENS_PER_SEC: u64 = 68;
pub(crate) const INPUT_USD_MICROS: u64 = 3;
pub(crate) const OUTPUT_USD_MICROS: u64 = 15;
/// What one client spends on average in a second, in micro-USD.
pub(crate) const SPEND_PER_SEC: u64 =
    INPUT_TOKENS_PER_SEC * INPUT_USD_MICROS + OUTPUT_TOKENS_PER_SEC * OUTPUT_USD_MICROS;
/// Daily quota of each label in micro-USD: all clients together spend it in one hour, on average.
pub(crate) const QUOTA: u64 = CLIENTS * SPEND_PER_SEC * 3_600;
/// Most calls that a client which reports in batches keeps back.
const BATCH: usize = 3;

/// Milliseconds since the start of the simulation.
pub(crate) type Millis = u64;

/// A sequence of numbers that looks random (SplitMix64).
struct Sequence(u64);

impl Sequence {
    /// A number between two others, each as likely as the next.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Ranges are far below 2⁶⁴: the remainder favours nobody noticeably.
        least + (mixed ^ (mixed >> 31)) % (most - least + 1)
    }
}

/// When the clients of an application check for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At any time in the last refresh interval, each for itself.
    Spread,
    /// All at once at the start, with a call each.
    Together,
}

/// Longest time that advice holds, in milliseconds.
const REFRESH_INTERVAL: Millis = 300_000;

/// What a client was told, and until when it may go by it.
#[derive(Debug, Clone, Copy)]
struct Advice {
    /// Index of the label in the ordering.
    label: usize,
    expires: Millis,
}

/// One call of Bedrock.
#[derive(Debug)]
pub(crate) struct BedrockCall {
    /// Index of the label in the ordering.
    pub(crate) label: usize,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// How long it takes, in milliseconds. It is reported, and so counted, when it ends.
    pub(crate) takes: Millis,
}

impl BedrockCall {
    /// What it costs, in micro-USD.
    pub(crate) fn cost(&self) -> u64 {
        self.input_tokens * INPUT_USD_MICROS + self.output_tokens * OUTPUT_USD_MICROS
    }
}

/// A client. It asks which model to use when its advice has expired and it wants to make a call, as the service
/// advises, and goes by the advice until then, whatever happens meanwhile.
pub(crate) struct Client {
    random: Sequence,
    /// Mean time between the starts of two calls.
    mean_gap: Millis,
    /// Calls it reports at a time.
    batch: usize,
    pub(crate) first_call: Millis,
    /// What is left of its first advice, where it got that before the start.
    first_advice: Option<Millis>,
    advice: Option<Advice>,
    /// Submissions of calls that ended and were not sent yet.
    unreported: Vec<Value>,
}

impl Client {
    /// The clients of one application.
    pub(crate) fn all(seed: u64, start: Start) -> Vec<Self> {
        let client = |n| {
            let mut random = Sequence(seed * 1_000 + n);
            Self {
                mean_gap: random.between(20_000, 30_000),
                // Every fourth one reports in batches, the others each call by itself.
                batch: if n % 4 == 3 { BATCH } else { 1 },
                first_call: if start == Start::Spread { random.between(0, 25_000) } else { 0 },
                first_advice: (start == Start::Spread).then(|| random.between(0, REFRESH_INTERVAL)),
                advice: None,
                unreported: Vec::new(),
                random,
            }
        };
        (0..CLIENTS).map(client).collect()
    }

    /// The label it was told to use, while that holds.
    pub(crate) fn advised(&self, now: Millis) -> Option<usize> {
        self.advice.filter(|advice| now < advice.expires).map(|advice| advice.label)
    }

    /// It was told to use a label for as long as `lasts`.
    pub(crate) fn advise(&mut self, label: usize, now: Millis, lasts: Millis) {
        // Nothing changed since a client asked before the start: it would have been told the same.
        let lasts = self.first_advice.take().unwrap_or(lasts);
        self.advice = Some(Advice { label, expires: now + lasts });
    }

    /// The call it makes now, and the time until its next one. A pause is between half and one and a half times its mean
    /// long, and a call as large as fits the mean, within the same bounds: the spend rate is right on average and no
    /// stretch of it is even.
    pub(crate) fn call(&mut self, label: usize) -> (BedrockCall, Millis) {
        let permille = self.random.between(500, 1_500);
        let tokens = |per_sec: u64| per_sec * self.mean_gap * permille / 1_000_000;
        let (input_tokens, output_tokens) = (tokens(INPUT_TOKENS_PER_SEC), tokens(OUTPUT_TOKENS_PER_SEC));
        // Shorter than any pause: a client makes one call at a time.
        let takes = self.random.between(1_000, 8_000);
        let pause = self.random.between(self.mean_gap / 2, self.mean_gap * 3 / 2);
        (BedrockCall { label, input_tokens, output_tokens, takes }, pause)
    }

    /// Takes the submission of a call that ended, and answers those to send now: none until a batch is full.
    pub(crate) fn reports(&mut self, submission: Value) -> Vec<Value> {
        self.unreported.push(submission);
        if self.unreported.len() >= self.batch { self.reports_all() } else { Vec::new() }
    }

    /// Everything it has kept back.
    pub(crate) fn reports_all(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.unreported)
    }
}
