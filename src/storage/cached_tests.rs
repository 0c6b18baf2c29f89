#![allow(clippy::unwrap_used)]

use super::*;

fn memo(lifetime: Duration) -> Memo<u8, u32> {
    Memo::new(10, lifetime)
}

fn dependency(n: u128) -> Dependency {
    Dependency::Revocable(Uuid::from_u128(n))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_was_read_is_kept_for_its_lifetime() {
    let memo = memo(HOUR);
    assert_eq!(memo.get(1, &[dependency(1)], async { Ok(10) }).await.unwrap(), 10);
    assert_eq!(memo.get(1, &[dependency(1)], async { panic!("it is kept") }).await.unwrap(), 10);
    assert_eq!(memo.get(2, &[dependency(1)], async { Ok(20) }).await.unwrap(), 20);
}

#[tokio::test]
async fn a_write_ends_what_was_read_before_it() {
    let memo = memo(HOUR);
    let dependencies = [dependency(1), dependency(2)];
    for written in [1, 2] {
        memo.get(1, &dependencies, async { Ok(10) }).await.unwrap();
        memo.advance(&dependency(written));
        assert_eq!(memo.get(1, &dependencies, async { Ok(20) }).await.unwrap(), 20);
        memo.advance(&dependency(written));
    }
}

#[tokio::test]
async fn a_read_that_was_under_way_during_a_write_brings_nothing_back() {
    let memo = memo(HOUR);
    let under_way = async {
        memo.advance(&dependency(1));
        Ok(10)
    };
    assert_eq!(memo.get(1, &[dependency(1)], under_way).await.unwrap(), 10);
    assert_eq!(memo.get(1, &[dependency(1)], async { Ok(20) }).await.unwrap(), 20);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let memo = memo(HOUR);
    let failed = memo.get(1, &[dependency(1)], async { Err(crate::storage::StorageError::Conflict) }).await;
    assert!(failed.is_err());
    assert_eq!(memo.get(1, &[dependency(1)], async { Ok(10) }).await.unwrap(), 10);
}
