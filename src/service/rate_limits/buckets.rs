//! Buckets by caller, however many callers there are.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::Subject;
use super::bucket::{Bucket, Standing};
use crate::clock::Clock;
use crate::domain::rate_limits::RateLimitGroup;

/// Buckets kept at most: far more than callers that are active within minutes (each of 5,000 clients uses five groups at
/// most while it works), and about 30 MB, at some 600 bytes each. Beyond it those used least are forgotten, which is in
/// their favour.
pub(super) const MOST: u64 = 50_000;
/// How long an unused bucket is kept. It is full again within a minute, so forgetting it after two changes nothing.
pub(super) const IDLE: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: RateLimitGroup,
    subject: Subject,
    /// A changed limit is another bucket, and a full one: nobody waits for a limit that is no more.
    limit: u32,
}

/// Buckets by group and caller.
#[derive(Debug)]
pub(super) struct Buckets {
    clock: Arc<dyn Clock>,
    buckets: Cache<Key, Arc<Bucket>>,
}

impl Buckets {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buckets: Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build() }
    }

    /// Takes a permit of a caller, if there is one.
    pub(super) async fn take(&self, group: RateLimitGroup, subject: Subject, limit: u32) -> Standing {
        self.bucket(group, subject, limit).await.take()
    }

    /// How a caller would stand, without taking a permit.
    pub(super) async fn look(&self, group: RateLimitGroup, subject: Subject, limit: u32) -> Standing {
        self.bucket(group, subject, limit).await.look()
    }

    async fn bucket(&self, group: RateLimitGroup, subject: Subject, limit: u32) -> Arc<Bucket> {
        let new = async { Arc::new(Bucket::new(limit, Arc::clone(&self.clock))) };
        self.buckets.get_with(Key { group, subject, limit }, new).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::ids::{AppId, ClientId, OrgId, Scope};
    use jiff::Timestamp;

    fn client(n: u32) -> Subject {
        let app: AppId = format!("app-{n}").parse().unwrap();
        Subject::Client(ClientId::of(Scope::app(OrgId(uuid::Uuid::from_u128(1)), app)))
    }

    #[tokio::test]
    async fn a_million_clients_take_bounded_room_and_displace_none_that_is_active() {
        let buckets = Buckets::new(Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)));
        let (group, limit) = (RateLimitGroup::Token, 2_000);
        let mut left = limit;
        for n in 0..1_000_000 {
            assert_eq!(buckets.take(group, client(n), 10).await.remaining, 9);
            if n % 1_000 == 0 {
                left -= 1;
                let standing = buckets.take(group, Subject::Key("active".to_owned()), limit).await;
                assert_eq!(standing.remaining, left, "after {n}");
            }
            if n % 100_000 == 99_999 {
                // What is still to be sorted out counts too.
                let kept = buckets.buckets.iter().count();
                assert!(kept <= 60_000, "{kept} buckets after {n}");
            }
        }
        buckets.buckets.run_pending_tasks().await;
        assert!(buckets.buckets.entry_count() <= MOST);
    }

    #[tokio::test]
    async fn groups_callers_and_limits_do_not_share_a_bucket() {
        let buckets = Buckets::new(Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)));
        assert!(!buckets.take(RateLimitGroup::Usage, client(1), 1).await.is_refused());
        assert!(buckets.take(RateLimitGroup::Usage, client(1), 1).await.is_refused());
        assert!(!buckets.take(RateLimitGroup::Usage, client(2), 1).await.is_refused());
        assert!(!buckets.take(RateLimitGroup::Batches, client(1), 1).await.is_refused());
        assert!(!buckets.take(RateLimitGroup::Usage, client(1), 2).await.is_refused());
    }
}
