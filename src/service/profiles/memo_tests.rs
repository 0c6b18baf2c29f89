use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers what a test says, and counts.
#[derive(Debug)]
struct Scripted {
    calls: AtomicUsize,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
    answer: Mutex<Option<Result<ProfileTarget, ResolveError>>>,
    delay: Duration,
}

impl Scripted {
    fn new(answer: Option<Result<ProfileTarget, ResolveError>>) -> Arc<Self> {
        Self::slow(answer, Duration::from_millis(2))
    }

    fn slow(answer: Option<Result<ProfileTarget, ResolveError>>, delay: Duration) -> Arc<Self> {
        let zero = AtomicUsize::default;
        Arc::new(Self { calls: zero(), most_at_once: zero(), at_once: zero(), answer: Mutex::new(answer), delay })
    }

    fn answers(&self, answer: Result<ProfileTarget, ResolveError>) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ProfileResolver for Scripted {
    async fn resolve(&self, _: &ProfileArn) -> Result<ProfileTarget, ResolveError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        answer.expect("a mistake in the resolver")
    }
}

fn arn(n: usize) -> ProfileArn {
    format!("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/p{n}").parse().unwrap()
}

fn nova() -> ProfileTarget {
    ProfileTarget { model_id: "us.amazon.nova-pro-v1:0".into(), model: "amazon.nova-pro-v1:0".into() }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn memo(resolver: &Arc<Scripted>) -> ProfileMemo {
    ProfileMemo::new(Some(Arc::clone(resolver) as Arc<dyn ProfileResolver>), Duration::from_secs(3))
}

async fn one(memo: &ProfileMemo, n: usize, secs: i64) -> Result<String, ResolveError> {
    let outcome = memo.resolve(vec![arn(n)], at(secs)).await.remove(&arn(n)).unwrap();
    outcome.map(|target| target.model_id.clone())
}

const DAY: i64 = 86_400;

#[tokio::test]
async fn an_answer_is_kept_a_day_and_a_failure_a_minute() {
    let resolver = Scripted::new(Some(Err(ResolveError::NotFound)));
    let memo = memo(&resolver);
    assert_eq!(one(&memo, 1, 0).await, Err(ResolveError::NotFound));
    assert_eq!(one(&memo, 1, 59).await, Err(ResolveError::NotFound));
    assert_eq!((resolver.calls(), memo.known(&arn(1))), (1, None));
    resolver.answers(Ok(nova()));
    assert_eq!(one(&memo, 1, 60).await.as_deref(), Ok("us.amazon.nova-pro-v1:0"));
    assert_eq!(one(&memo, 1, 59 + DAY).await.as_deref(), Ok("us.amazon.nova-pro-v1:0"));
    assert_eq!(resolver.calls(), 2);
    one(&memo, 1, 60 + DAY).await.unwrap();
    assert_eq!(resolver.calls(), 3);
}

#[tokio::test]
async fn an_expired_answer_that_cannot_be_renewed_goes_on_being_used() {
    let resolver = Scripted::new(Some(Ok(nova())));
    let memo = memo(&resolver);
    one(&memo, 1, 0).await.unwrap();
    resolver.answers(Err(ResolveError::TimedOut));
    assert!(one(&memo, 1, DAY).await.is_ok() && one(&memo, 1, DAY + 59).await.is_ok());
    assert_eq!(resolver.calls(), 2);
    one(&memo, 1, DAY + 60).await.unwrap();
    assert_eq!(resolver.calls(), 3);
}

#[tokio::test]
async fn a_profile_is_asked_for_once_however_many_want_it_and_a_caller_that_gives_up_ends_nothing() {
    let resolver = Scripted::new(Some(Ok(nova())));
    let memo = Arc::new(memo(&resolver));
    let impatient = tokio::spawn({
        let memo = Arc::clone(&memo);
        async move { one(&memo, 1, 0).await }
    });
    tokio::task::yield_now().await;
    impatient.abort();
    let wishes: Vec<_> = (0..32)
        .map(|_| {
            let memo = Arc::clone(&memo);
            tokio::spawn(async move { one(&memo, 1, 0).await })
        })
        .collect();
    for wish in wishes {
        wish.await.unwrap().unwrap();
    }
    assert_eq!(resolver.calls(), 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_time_out_for_everything_together() {
    let resolver = Scripted::slow(Some(Ok(nova())), Duration::from_secs(3_600));
    let memo = ProfileMemo::new(Some(Arc::clone(&resolver) as Arc<dyn ProfileResolver>), Duration::from_millis(200));
    let started = Instant::now();
    let outcomes = memo.resolve((0..100).map(arn).collect(), at(0)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.values().all(|outcome| matches!(outcome, Err(ResolveError::TimedOut | ResolveError::Busy))));
    // What was asked for and not answered is remembered; the calls end by themselves.
    while memo.shared.lock().flights > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = resolver.calls();
    assert!((MAX_CALLS..=MAX_FLIGHTS).contains(&calls), "{calls}");
    assert_eq!(one(&memo, 0, 1).await, Err(ResolveError::TimedOut));
    assert_eq!(resolver.calls(), calls);
}

#[tokio::test]
async fn calls_and_entries_are_bounded() {
    let resolver = Scripted::new(Some(Ok(nova())));
    let memo = memo(&resolver);
    for round in 0..40 {
        let outcomes = memo.resolve((0..50).map(|n| arn(round * 50 + n)).collect(), at(0)).await;
        assert!(outcomes.values().all(Result::is_ok));
    }
    assert_eq!(resolver.calls(), 2_000);
    assert!(memo.shared.lock().entries.len() <= MAX_ENTRIES);
    assert!(resolver.most_at_once.load(Ordering::SeqCst) <= MAX_CALLS);
}

#[tokio::test]
async fn a_resolver_with_a_mistake_in_it_is_a_failure_like_any_other() {
    let resolver = Scripted::new(None);
    let memo = memo(&resolver);
    assert!(matches!(one(&memo, 1, 0).await, Err(ResolveError::Unavailable(_))));
    resolver.answers(Ok(nova()));
    one(&memo, 1, 60).await.unwrap();
}

#[tokio::test]
async fn without_a_resolver_nothing_is_resolved() {
    let memo = ProfileMemo::new(None, Duration::from_secs(3));
    assert_eq!(one(&memo, 1, 0).await, Err(ResolveError::Off));
}
