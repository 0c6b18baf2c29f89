//! Randomness as an argument: the only place that draws random bytes.

use std::fmt;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

/// The system's random source failed, which it does not in practice; callers answer "unavailable".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomError;

/// Draws unpredictable bytes.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`RandomError`] where the system cannot provide randomness.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;

    /// A random (version 4) UUID.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    fn uuid(&self) -> Result<Uuid, RandomError> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

/// The operating system's cryptographic random source.
#[derive(Debug, Default)]
pub struct SystemRng(SystemRandom);

impl SystemRng {
    /// The system's source.
    #[must_use]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Random for SystemRng {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(bytes).map_err(|_| RandomError)
    }
}

/// A predictable sequence, for tests: byte *n* is a mix of the seed and *n*.
#[derive(Debug)]
pub struct SequenceRng(std::sync::atomic::AtomicU64);

impl SequenceRng {
    /// A sequence starting at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }
}

impl Random for SequenceRng {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64: distinct for every counter value, which is all a test needs.
            let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let mixed = (z ^ (z >> 31)).to_le_bytes();
            for (target, source) in chunk.iter_mut().zip(mixed) {
                *target = source;
            }
        }
        Ok(())
    }
}
