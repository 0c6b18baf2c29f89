//! The stored price list.

use bedrock_cost_keeper::storage::StoredPrices;

use crate::support::samples::noon_plus;
use crate::support::stores::FreshStore;

fn list(version: &str, seconds: i64) -> StoredPrices {
    StoredPrices {
        version: version.to_owned(),
        fetched_at: noon_plus(seconds),
        document: format!(r#"{{"schema":1,"version":"{version}","text":"ä€𝄞'\" \\n"}}"#),
    }
}

pub(super) async fn a_store_starts_without_price_list(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.prices().await.unwrap(), None);
    assert_eq!(store.prices_fetched_at().await.unwrap(), None);
}

pub(super) async fn a_price_list_survives_a_round_trip_and_is_seen_by_other_instances(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(store.put_prices(&list("2026-11-20", 7), None).await.unwrap());
    for instance in [store, fresh.instance().await] {
        assert_eq!(instance.prices().await.unwrap(), Some(list("2026-11-20", 7)));
        assert_eq!(instance.prices_fetched_at().await.unwrap(), Some(noon_plus(7)));
    }
}

pub(super) async fn a_large_price_list_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    // More than one item of DynamoDB holds; about what AWS publishes for all regions.
    let document = format!(r#"{{"rows":[{}1]}}"#, r#"{"region":"us-east-1","input":3300000},"#.repeat(80_000));
    let large = StoredPrices { document, ..list("2026-11-20", 1) };
    assert!(store.put_prices(&large, None).await.unwrap());
    assert_eq!(store.prices().await.unwrap(), Some(large.clone()));
    let small = list("2026-11-21", 2);
    assert!(store.put_prices(&small, Some(large.fetched_at)).await.unwrap());
    assert_eq!(store.prices().await.unwrap(), Some(small));
}

pub(super) async fn a_first_price_list_is_stored_only_where_there_is_none(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(store.put_prices(&list("a", 1), None).await.unwrap());
    assert!(!store.put_prices(&list("b", 2), None).await.unwrap());
    assert_eq!(store.prices().await.unwrap(), Some(list("a", 1)));
}

pub(super) async fn a_later_price_list_replaces_exactly_the_one_it_names(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(!store.put_prices(&list("b", 2), Some(noon_plus(1))).await.unwrap(), "there is none to replace");
    assert_eq!(store.prices().await.unwrap(), None);
    assert!(store.put_prices(&list("a", 1), None).await.unwrap());
    assert!(!store.put_prices(&list("b", 2), Some(noon_plus(2))).await.unwrap(), "another one is stored");
    assert_eq!(store.prices().await.unwrap(), Some(list("a", 1)));
    assert!(store.put_prices(&list("b", 2), Some(noon_plus(1))).await.unwrap());
    assert_eq!(store.prices().await.unwrap(), Some(list("b", 2)));
}

pub(super) async fn of_concurrent_replacements_of_one_price_list_exactly_one_stores(fresh: FreshStore) {
    let (here, there) = (fresh.migrated().await, fresh.instance().await);
    let mut replaces = None;
    for round in 0..5 {
        let lists: Vec<_> = (0..4).map(|n| list(&format!("{round}-{n}"), i64::from(round * 10 + n))).collect();
        let puts = lists.iter().enumerate().map(|(n, list)| {
            let store = if n % 2 == 0 { &here } else { &there };
            store.put_prices(list, replaces)
        });
        let stored: Vec<bool> = futures::future::join_all(puts).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(stored.iter().filter(|stored| **stored).count(), 1, "{stored:?}");
        let winner = &lists[stored.iter().position(|stored| *stored).unwrap()];
        assert_eq!(here.prices().await.unwrap().as_ref(), Some(winner));
        replaces = Some(winner.fetched_at);
    }
}
