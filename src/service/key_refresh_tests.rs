use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::domain::signing_key::SigningKey;
use crate::service::signing::Verdict;

const FIRST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c";
const SECOND: &str = "kX3vQ9_ZpL0aWm-7RtYc2NfJ5hGd8sBuEoTiVx4Ky6A";

fn keys(secret: &str, provisioning: &[&str]) -> Keys {
    let tokens = TokenKeys { signing: SigningKey::hs256(secret), verification: Vec::new() };
    Keys { tokens, provisioning: provisioning.iter().map(|key| SecretString::from(*key)).collect() }
}

/// Answers what it is given, once it is let go.
#[derive(Debug)]
struct Kept {
    keys: Mutex<Result<Keys, KeySourceError>>,
    reads: AtomicUsize,
    open: tokio::sync::Semaphore,
}

#[async_trait]
impl KeySource for Kept {
    async fn read(&self) -> Result<Keys, KeySourceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let _open = self.open.acquire().await.unwrap();
        self.keys.lock().unwrap().clone()
    }
}

struct Fixture {
    source: Arc<Kept>,
    signer: Arc<TokenSigner>,
    provisioning: Arc<ProvisioningKeys>,
    refresh: Arc<KeyRefresh>,
}

fn fixture(early_pause: Duration) -> Fixture {
    let first = keys(FIRST, &["one"]);
    let (signer, provisioning) =
        (Arc::new(TokenSigner::new(&first.tokens)), Arc::new(ProvisioningKeys::new(&first.provisioning)));
    let open = tokio::sync::Semaphore::new(1);
    let source = Arc::new(Kept { keys: Mutex::new(Ok(first)), reads: AtomicUsize::new(0), open });
    let clock = Arc::new(ManualClock::at(jiff::Timestamp::UNIX_EPOCH));
    let refresh = KeyRefresh::new(
        Arc::clone(&source) as Arc<dyn KeySource>,
        Arc::clone(&signer),
        Arc::clone(&provisioning),
        clock,
        SignedDuration::from_secs(100),
        early_pause,
    );
    Fixture { source, signer, provisioning, refresh: Arc::new(refresh) }
}

impl Fixture {
    fn keep(&self, keys: Result<Keys, KeySourceError>) {
        *self.source.keys.lock().unwrap() = keys;
    }

    fn reads(&self) -> usize {
        self.source.reads.load(Ordering::SeqCst)
    }

    fn understands(&self, secret: &str) -> bool {
        let claims = serde_json::json!({"iss": "bedrock-cost-keeper", "sub": "somebody", "exp": 1});
        let token = TokenSigner::new(&keys(secret, &[]).tokens).sign(&claims).unwrap();
        let verdict: Verdict<serde_json::Value> = self.signer.verify(&token, jiff::Timestamp::UNIX_EPOCH);
        verdict == Verdict::Signed(claims)
    }
}

#[tokio::test]
async fn changed_keys_are_put_in_force_together_and_a_failure_changes_nothing() {
    let fixture = fixture(EARLY_PAUSE);
    fixture.keep(Ok(keys(SECOND, &["two"])));
    fixture.refresh.refresh().await;
    assert!(fixture.understands(FIRST) && fixture.understands(SECOND));
    assert!(fixture.provisioning.verify("one").is_none() && fixture.provisioning.verify("two").is_some());
    fixture.keep(Err(KeySourceError("gone".to_owned())));
    fixture.refresh.refresh().await;
    assert!(fixture.understands(SECOND) && fixture.provisioning.verify("two").is_some());
}

#[tokio::test]
async fn however_many_ask_early_there_is_one_read_and_all_see_its_outcome() {
    let fixture = fixture(EARLY_PAUSE);
    fixture.keep(Ok(keys(SECOND, &["one"])));
    let hold = fixture.source.open.acquire().await.unwrap();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let refresh = Arc::clone(&fixture.refresh);
            tokio::spawn(async move { refresh.refresh_early().await })
        })
        .collect();
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!fixture.understands(SECOND) && asking.iter().all(|asking| !asking.is_finished()));
    drop(hold);
    for asking in asking {
        asking.await.unwrap();
        assert!(fixture.understands(SECOND));
    }
    // And none after it while the pause lasts.
    fixture.refresh.refresh_early().await;
    assert_eq!(fixture.reads(), 1);
    fixture.refresh.refresh().await;
    assert_eq!(fixture.reads(), 2, "the regular one does not wait for that pause");
}

#[tokio::test]
async fn an_early_read_goes_on_when_who_asked_went_away() {
    let fixture = fixture(EARLY_PAUSE);
    fixture.keep(Ok(keys(SECOND, &["one"])));
    let hold = fixture.source.open.acquire().await.unwrap();
    let refresh = Arc::clone(&fixture.refresh);
    let asking = tokio::spawn(async move { refresh.refresh_early().await });
    while fixture.reads() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    drop(hold);
    fixture.refresh.refresh_early().await;
    assert!(fixture.understands(SECOND) && fixture.reads() == 1);
}

#[tokio::test]
async fn after_the_pause_there_is_a_further_read() {
    let fixture = fixture(Duration::ZERO);
    for reads in 1..=3 {
        fixture.refresh.refresh_early().await;
        assert_eq!(fixture.reads(), reads);
    }
}
