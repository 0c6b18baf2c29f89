//! Keys read again while the service runs, so that replacing one needs no restart.
//!
//! Where they come from is somebody else's matter ([`KeySource`]). Whatever goes wrong, the keys in force stay.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use super::access::ProvisioningKeys;
use super::signing::{TokenKeys, TokenSigner};
use crate::clock::Clock;

/// Shortest time between two reads because of unknown keys: a flood of tokens with made-up key ids costs one read in
/// this time, and a key that another instance uses already is understood at once unless somebody floods.
pub const EARLY_PAUSE: Duration = Duration::from_secs(10);
/// Longest time a request waits for such a read; below the shortest usual time-out of a request.
const EARLY_WAIT: Duration = Duration::from_secs(5);

/// Everything that callers are recognized by, as it was read.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What tokens are signed and verified with.
    pub tokens: TokenKeys,
    /// The keys of administrators; at least one.
    pub provisioning: Vec<SecretString>,
}

/// Why keys could not be read, as a sentence without any value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeySourceError(pub String);

/// Reads keys from where they are kept.
#[async_trait]
pub trait KeySource: fmt::Debug + Send + Sync {
    /// All keys, checked as at start.
    ///
    /// # Errors
    /// [`KeySourceError`] where any of them is missing or unfit; none is used then.
    async fn read(&self) -> Result<Keys, KeySourceError>;
}

/// The last read because of an unknown key. The receiver ends when it has finished.
#[derive(Debug)]
struct Early {
    started: Instant,
    finished: watch::Receiver<()>,
}

/// Reads keys again and puts them in force.
#[derive(Debug)]
pub struct KeyRefresh {
    source: Arc<dyn KeySource>,
    signer: Arc<TokenSigner>,
    provisioning_keys: Arc<ProvisioningKeys>,
    clock: Arc<dyn Clock>,
    keep_replaced: SignedDuration,
    early_pause: Duration,
    early: Mutex<Option<Early>>,
    /// Held while reading: one read at a time, and replacements one after the other.
    reading: tokio::sync::Mutex<()>,
}

impl KeyRefresh {
    /// Refreshes these keys from this source. A signing key that is replaced goes on verifying for `keep_replaced`,
    /// and tokens with unknown keys lead to a read at most every `early_pause`.
    #[must_use]
    pub fn new(
        source: Arc<dyn KeySource>,
        signer: Arc<TokenSigner>,
        provisioning_keys: Arc<ProvisioningKeys>,
        clock: Arc<dyn Clock>,
        keep_replaced: SignedDuration,
        early_pause: Duration,
    ) -> Self {
        let (early, reading) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { source, signer, provisioning_keys, clock, keep_replaced, early_pause, early, reading }
    }

    /// Reads all keys and puts them in force where they changed. On a failure those in force stay; it is logged and
    /// counted, and nobody else has to be told.
    pub async fn refresh(&self) {
        let _one_at_a_time = self.reading.lock().await;
        let keys = match self.source.read().await {
            Ok(keys) => keys,
            Err(error) => {
                metrics::counter!("secrets_refresh_failures_total").increment(1);
                tracing::error!(%error, "keys were not read again; those in force stay");
                return;
            }
        };
        let now = self.clock.now();
        // Beyond the end of time nothing expires.
        let until = now.checked_add(self.keep_replaced).unwrap_or(jiff::Timestamp::MAX);
        let tokens = self.signer.replace(&keys.tokens, now, until);
        let provisioning = self.provisioning_keys.replace(&keys.provisioning);
        if tokens.is_none() && provisioning.is_none() {
            return;
        }
        let signing = tokens.as_ref().map(|names| names.signing.as_str());
        let verification = tokens.as_ref().map(|names| names.verification.join(" "));
        let provisioning = provisioning.map(|ids| ids.join(" "));
        tracing::info!(signing, verification, provisioning, "keys changed and are in force");
    }

    /// Reads again because a token names an unknown key, unless that was done a moment ago, and waits until it is
    /// done. However many ask at once, there is one read, and it goes on when those who asked went away.
    pub async fn refresh_early(self: &Arc<Self>) {
        let mut finished = {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            match &*early {
                Some(last) if last.started.elapsed() < self.early_pause || last.finished.has_changed().is_ok() => {
                    last.finished.clone()
                }
                _ => {
                    let (running, finished) = watch::channel(());
                    let this = Arc::clone(self);
                    tokio::spawn(async move {
                        this.refresh().await;
                        drop(running);
                    });
                    *early = Some(Early { started: Instant::now(), finished: finished.clone() });
                    finished
                }
            }
        };
        // Ends with an error when the sender is gone, which is what is waited for. Who waits in vain is refused, and
        // understood the next time.
        let _ = tokio::time::timeout(EARLY_WAIT, finished.changed()).await;
    }
}

#[cfg(test)]
#[path = "key_refresh_tests.rs"]
mod tests;
