//! From store to store, and back.

use super::{content, everything, export, fill, import, service_on};
#[cfg(feature = "dynamodb")]
use crate::support::samples::{acme, client, org, org_scope, usage, usage_on};
use crate::support::stores::{self, FreshStore};

/// Moves everything along these stores and compares it at each stop, through the store's contract and by the next
/// export.
async fn travel(stops: Vec<(&str, FreshStore)>) {
    let mut stops = stops.into_iter();
    let (name, first) = stops.next().unwrap();
    fill(&*first.migrated().await).await;
    let expected = everything(&*first.instance().await).await;
    assert!(expected.daily.len() == 45 && expected.months.len() == 16, "{name} has {} totals", expected.daily.len());
    let mut file = export(&service_on(first).await).await;
    for (name, store) in stops {
        store.migrated().await;
        let reader = store.instance().await;
        let server = service_on(store).await;
        let report = import(&server, &file).await.unwrap();
        assert!(report.is_complete(), "{name}: {report:?}");
        assert_eq!(report.totals.new, expected.daily.len() as u64, "{name}");
        assert_eq!(everything(&*reader).await, expected, "{name}");
        let again = import(&server, &file).await.unwrap();
        assert!(again.is_complete() && again.totals.new == 0 && again.apps.new == 0, "{name}: {again:?}");
        let next = export(&server).await;
        assert_eq!(content(&next), content(&file), "{name}");
        file = next;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_sqlite() {
    travel(vec![("sqlite", stores::sqlite().await), ("sqlite again", stores::sqlite().await)]).await;
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_postgresql_and_back() {
    travel(vec![
        ("sqlite", stores::sqlite().await),
        ("postgres", stores::postgres().await),
        ("sqlite again", stores::sqlite().await),
    ])
    .await;
}

#[cfg(all(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
#[tokio::test(flavor = "multi_thread")]
async fn from_sqlite_to_postgresql_to_dynamodb_and_back() {
    travel(vec![
        ("sqlite", stores::sqlite().await),
        ("postgres", stores::postgres().await),
        ("dynamodb", stores::dynamodb().await),
        ("sqlite again", stores::sqlite().await),
    ])
    .await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_what_nobody_has_added_up_yet() {
    use bedrock_cost_keeper::domain::usage::Counters;
    use bedrock_cost_keeper::storage::{Consolidation as _, Tenants as _, UsageLedger as _};

    let store = stores::dynamodb().await;
    store.migrated().await;
    let server = service_on(store).await;
    assert!(server.store.consolidates());
    server.at("2096-01-23T15:30:45Z");
    server.store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let records: Vec<_> = ["2096-01-05", "2096-01-22", "2096-01-23", "2096-01-23"]
        .into_iter()
        .zip(1..)
        .map(|(day, n)| usage_on("shop", n, day))
        .collect();
    server.store.record_usage(&records).await.unwrap();
    assert!(server.store.totals(&org_scope(), records[0].day).await.unwrap().is_empty(), "nobody adds up");
    let target = service_on(stores::sqlite().await).await;
    import(&target, &export(&server).await).await.unwrap();
    let totals = target.store.totals(&org_scope(), records[3].day).await.unwrap();
    let times = |n: usize| {
        let one = usage("shop", 1).counters();
        (0..n).fold(Counters::default(), |sum, _| sum.checked_add(&one).unwrap())
    };
    let spend = totals[&records[0].model_label];
    assert_eq!((spend.day, spend.month), (times(2), times(4)));
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_already_but_not_added_up_yet_is_no_difference() {
    let source = service_on(stores::sqlite().await).await;
    fill(&*source.store).await;
    let file = export(&source).await;
    let store = stores::dynamodb().await;
    store.migrated().await;
    let target = service_on(store).await;
    // The same submissions; nobody adds up, as when an import was killed.
    fill(&*target.store).await;
    let report = import(&target, &file).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.totals.new, report.totals.unchanged), (0, 45));
}
