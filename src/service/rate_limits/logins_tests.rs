#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;

use super::*;
use crate::clock::ManualClock;
use crate::domain::ids::{OrgId, Scope};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + secs).unwrap()
}

fn logins(per_client: u32, per_address: u32) -> (Arc<FailedLogins>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(at(0)));
    let limits = FailedLoginLimits { per_client, per_address };
    (Arc::new(FailedLogins::new(limits, Arc::clone(&clock) as Arc<dyn Clock>)), clock)
}

fn client(n: u128) -> ClientId {
    ClientId::of(Scope::org(OrgId(uuid::Uuid::from_u128(n))))
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

async fn login(logins: &FailedLogins, from: &str, client_id: &ClientId) -> Result<Attempt, Throttled> {
    logins.login_as(logins.login_from(address(from)).await?, client_id).await
}

#[tokio::test]
async fn failures_count_for_an_id_from_everywhere_and_for_no_other_id() {
    let (logins, clock) = logins(3, 100);
    for n in 0..3 {
        drop(login(&logins, &format!("192.0.2.{n}"), &client(1)).await.unwrap());
    }
    let throttled = login(&logins, "192.0.2.9", &client(1)).await.unwrap_err();
    assert_eq!((throttled.standing.limit, throttled.standing.retry_in), (3, Some(Duration::from_secs(20))));
    drop(login(&logins, "192.0.2.0", &client(2)).await.unwrap());
    clock.set(at(20));
    drop(login(&logins, "192.0.2.9", &client(1)).await.unwrap());
    assert!(login(&logins, "192.0.2.9", &client(1)).await.is_err());
}

#[tokio::test]
async fn failures_count_for_an_address_whatever_ids_are_claimed() {
    let (logins, _clock) = logins(10, 5);
    for n in 0..5 {
        drop(login(&logins, "192.0.2.1", &client(n)).await.unwrap());
    }
    assert_eq!(login(&logins, "192.0.2.1", &client(77)).await.unwrap_err().standing.limit, 5);
    assert!(logins.login_from(address("::ffff:192.0.2.1")).await.is_err(), "the same address, mapped");
    assert!(logins.login_from(address("192.0.2.2")).await.is_ok());
    assert!(logins.key_from(address("192.0.2.1")).await.is_ok(), "keys are counted apart");
}

#[tokio::test]
async fn an_ipv6_network_of_64_bits_counts_as_one_address() {
    let (logins, _clock) = logins(10, 2);
    for from in ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"] {
        drop(logins.login_from(address(from)).await.unwrap());
    }
    assert!(logins.login_from(address("2001:db8:0:1:2::3")).await.is_err());
    assert!(logins.login_from(address("2001:db8:0:2::1")).await.is_ok());
}

#[tokio::test]
async fn an_attempt_that_did_not_fail_counts_neither_for_its_id_nor_for_its_address() {
    let (logins, _clock) = logins(2, 2);
    for _ in 0..100 {
        login(&logins, "192.0.2.1", &client(1)).await.unwrap().did_not_fail();
    }
    drop(login(&logins, "192.0.2.1", &client(1)).await.unwrap());
    drop(login(&logins, "192.0.2.1", &client(1)).await.unwrap());
    assert!(login(&logins, "192.0.2.1", &client(1)).await.is_err());
}

#[tokio::test]
async fn a_throttled_id_costs_its_address_nothing() {
    let (logins, _clock) = logins(1, 2);
    drop(login(&logins, "192.0.2.1", &client(1)).await.unwrap());
    for _ in 0..10 {
        assert!(login(&logins, "192.0.2.1", &client(1)).await.is_err());
    }
    drop(login(&logins, "192.0.2.1", &client(2)).await.unwrap());
    assert!(logins.login_from(address("192.0.2.1")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_wrong_attempts_at_once_exactly_as_many_are_verified_as_allowed() {
    let (logins, _clock) = logins(10, 100_000);
    let verified = Arc::new(AtomicUsize::new(0));
    let attempts = (0..1_000).map(|_| {
        let (logins, verified) = (Arc::clone(&logins), Arc::clone(&verified));
        tokio::spawn(async move {
            let attempt = login(&logins, "192.0.2.1", &client(1)).await?;
            verified.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            drop(attempt);
            Ok::<_, Throttled>(())
        })
    });
    let outcomes = futures::future::join_all(attempts).await;
    let throttled: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap().err()).collect();
    assert_eq!((verified.load(Ordering::SeqCst), throttled.len()), (10, 990));
    assert_eq!(throttled.iter().filter(|throttled| throttled.is_news).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_good_attempts_at_once_none_is_refused() {
    let (logins, _clock) = logins(10, 20);
    let attempts = (0..1_000).map(|_| {
        let logins = Arc::clone(&logins);
        tokio::spawn(async move {
            let attempt = login(&logins, "192.0.2.1", &client(1)).await.unwrap();
            tokio::task::yield_now().await;
            attempt.did_not_fail();
        })
    });
    for attempt in futures::future::join_all(attempts).await {
        attempt.unwrap();
    }
}

#[tokio::test]
async fn a_throttle_is_news_once_a_minute() {
    let (logins, clock) = logins(1, 100);
    let mut news = Vec::new();
    for second in [0, 0, 1, 59, 61, 62] {
        clock.set(at(second));
        let throttled = loop {
            match login(&logins, "192.0.2.1", &client(1)).await {
                Ok(failed) => drop(failed),
                Err(throttled) => break throttled,
            }
        };
        news.push(throttled.is_news);
    }
    assert_eq!(news, [true, false, false, false, true, false]);
}
