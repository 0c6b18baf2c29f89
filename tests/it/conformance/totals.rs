//! Reading totals.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::usage::{Counters, LabelTotals, SpendTotals, UsageRecord};
use bedrock_cost_keeper::storage::{Breakdown, DailyTotal, DailyTotalKey, Storage};

use crate::support::samples::{
    acme, app_id, app_scope, day, label, noon, noon_plus, org_id, org_scope, usage, usage_of, usage_on,
};
use crate::support::stores::FreshStore;

fn days(from: &str, to: &str) -> RangeInclusive<Day> {
    day(from)..=day(to)
}

fn everything() -> RangeInclusive<Day> {
    days("0001-01-01", "9999-12-31")
}

fn plus(left: &Counters, right: &Counters) -> Counters {
    left.checked_add(right).unwrap()
}

pub(super) async fn totals_have_every_label_with_usage_in_the_month(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let today = usage("shop", 1);
    let earlier = UsageRecord { day: day("2026-01-01"), ..usage_of("shop", 2, "economy") };
    let later = UsageRecord { day: day("2026-01-31"), ..usage("shop", 3) };
    let other_app = usage_of("blog", 4, "standard");
    let other_month = UsageRecord { day: day("2025-12-31"), ..usage_of("shop", 5, "standard") };
    store.record_usage(&[today.clone(), earlier.clone(), later.clone(), other_app, other_month]).await.unwrap();
    let totals = store.totals(&app_scope("shop"), today.day).await.unwrap();
    let expected = BTreeMap::from([
        (label("premium"), SpendTotals { day: today.counters(), month: plus(&today.counters(), &later.counters()) }),
        (label("economy"), SpendTotals { day: Counters::default(), month: earlier.counters() }),
    ]);
    assert_eq!(totals, expected);
    let org = store.totals(&org_scope(), today.day).await.unwrap();
    assert_eq!(org.into_keys().collect::<Vec<_>>(), ["economy", "premium", "standard"].map(label));
}

pub(super) async fn a_day_and_a_month_end_at_their_boundary(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let dates = ["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2027-01-01"];
    let records: Vec<_> = dates.iter().zip(1..).map(|(date, n)| usage_on("shop", n, date)).collect();
    store.record_usage(&records).await.unwrap();
    for (date, in_month) in dates.into_iter().zip([1, 2, 2, 1, 1]) {
        let spend = store.totals(&org_scope(), day(date)).await.unwrap()[&label("premium")];
        assert_eq!((spend.day.requests, spend.month.requests), (1, in_month), "{date}");
    }
    let idle = store.totals(&org_scope(), day("2026-01-15")).await.unwrap()[&label("premium")];
    assert_eq!((idle.day.requests, idle.month.requests), (0, 2));
}

pub(super) async fn totals_of_an_org_are_the_sum_of_its_apps(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let apps = ["shop", "blog", "mail"];
    let labels = ["premium", "standard"];
    let mut records = Vec::new();
    for n in 0..60_u128 {
        let record = usage_of(apps[n as usize % 3], n, labels[n as usize % 2]);
        records.push(UsageRecord { day: day(&format!("2026-01-{:02}", n % 7 + 1)), ..record });
    }
    store.record_usage(&records).await.unwrap();
    for date in ["2026-01-01", "2026-01-04", "2026-01-07"] {
        let mut sum: BTreeMap<_, SpendTotals> = BTreeMap::new();
        for app in apps {
            for (label, spend) in store.totals(&app_scope(app), day(date)).await.unwrap() {
                let total = sum.entry(label).or_default();
                total.day = plus(&total.day, &spend.day);
                total.month = plus(&total.month, &spend.month);
            }
        }
        assert_eq!(store.totals(&org_scope(), day(date)).await.unwrap(), sum);
    }
}

pub(super) async fn totals_of_a_scope_without_usage_are_empty(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    for scope in [app_scope("blog"), Scope::org(org_id(9)), Scope::app(org_id(9), app_id("shop"))] {
        assert!(store.totals(&scope, day("2026-01-23")).await.unwrap().is_empty());
    }
    assert!(store.totals(&org_scope(), day("2026-02-01")).await.unwrap().is_empty());
}

pub(super) async fn label_totals_are_zero_without_usage(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let read = async |app: &str, of: &str, on: &str| {
        store.label_totals(acme(), &app_id(app), &label(of), day(on)).await.unwrap()
    };
    assert_eq!(read("shop", "premium", "2026-01-23").await, LabelTotals::default());
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(read("shop", "economy", "2026-01-23").await, LabelTotals::default());
    assert_eq!(read("shop", "premium", "2026-02-23").await, LabelTotals::default());
    let spend = SpendTotals { day: usage("shop", 1).counters(), month: usage("shop", 1).counters() };
    assert_eq!(read("blog", "premium", "2026-01-23").await, LabelTotals { app: SpendTotals::default(), org: spend });
}

/// Usage of three applications and three labels over five days, not every combination on every day; and a neighbour's.
async fn populated(store: &dyn Storage) -> Vec<UsageRecord> {
    let dates = ["2025-12-31", "2026-01-01", "2026-01-02", "2026-01-31", "2026-02-01"];
    let mut records = Vec::new();
    for (d, date) in dates.iter().enumerate() {
        for (a, app) in ["blog", "Shop", "shop"].iter().enumerate() {
            for (l, of) in ["economy", "premium", "standard"].iter().enumerate() {
                if (d + a + l) % 4 != 0 {
                    let record = usage_of(app, records.len() as u128, of);
                    records.push(UsageRecord { day: day(date), ..record });
                }
            }
        }
    }
    let neighbour: Vec<_> = records.iter().map(|record| UsageRecord { org_id: org_id(9), ..record.clone() }).collect();
    store.record_usage(&neighbour).await.unwrap();
    store.record_usage(&records).await.unwrap();
    records
}

type Key = (Day, Option<String>, String);

fn key(total: &DailyTotal) -> Key {
    let app = total.app_id.as_ref().map(|app| app.as_str().to_owned());
    (total.day, app, total.model_label.as_str().to_owned())
}

/// The keys a query has to yield, in order; text order is byte order in Rust.
fn expected_keys(records: &[UsageRecord], breakdown: Breakdown<'_>, days: &RangeInclusive<Day>) -> Vec<Key> {
    let mut keys: Vec<Key> = records
        .iter()
        .filter(|record| days.contains(&record.day))
        .filter(|record| match breakdown {
            Breakdown::App(app_id) => record.app_id == *app_id,
            Breakdown::Org | Breakdown::EveryApp => true,
        })
        .map(|record| {
            let app = (breakdown != Breakdown::Org).then(|| record.app_id.as_str().to_owned());
            (record.day, app, record.model_label.as_str().to_owned())
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

pub(super) async fn daily_totals_are_ordered_by_day_application_and_label(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = populated(&*store).await;
    let shop = app_id("shop");
    for breakdown in [Breakdown::Org, Breakdown::App(&shop), Breakdown::EveryApp] {
        let totals = store.daily_totals(acme(), breakdown, everything(), None, 1_000).await.unwrap();
        let keys: Vec<Key> = totals.iter().map(key).collect();
        assert_eq!(keys, expected_keys(&records, breakdown, &everything()), "{breakdown:?}");
        for total in totals {
            let scope = Scope { org_id: acme(), app_id: total.app_id };
            let spend = store.totals(&scope, total.day).await.unwrap()[&total.model_label];
            assert_eq!(total.counters, spend.day);
        }
    }
    let mail = app_id("mail");
    let none = store.daily_totals(acme(), Breakdown::App(&mail), everything(), None, 1_000).await.unwrap();
    assert_eq!(none, []);
}

pub(super) async fn daily_totals_of_a_range_include_both_ends_and_nothing_else(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = populated(&*store).await;
    let shop = app_id("shop");
    for range in [
        days("2026-01-01", "2026-01-31"),
        days("2026-01-02", "2026-01-02"),
        days("2026-01-03", "2026-01-30"),
        days("2025-12-31", "2026-02-01"),
        days("2026-02-02", "2026-12-31"),
        days("2026-01-31", "2026-01-01"),
    ] {
        for breakdown in [Breakdown::Org, Breakdown::App(&shop), Breakdown::EveryApp] {
            let totals = store.daily_totals(acme(), breakdown, range.clone(), None, 1_000).await.unwrap();
            let keys: Vec<Key> = totals.iter().map(key).collect();
            assert_eq!(keys, expected_keys(&records, breakdown, &range), "{breakdown:?} {range:?}");
        }
    }
}

pub(super) async fn daily_totals_page_strictly_after_a_key_in_every_breakdown(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records = populated(&*store).await;
    let range = days("2026-01-01", "2026-02-01");
    let shop = app_id("shop");
    for breakdown in [Breakdown::Org, Breakdown::App(&shop), Breakdown::EveryApp] {
        let expected = expected_keys(&records, breakdown, &range);
        for limit in [1, 2, 7, 1_000] {
            let mut seen = Vec::new();
            let mut after: Option<DailyTotalKey> = None;
            loop {
                let page = store.daily_totals(acme(), breakdown, range.clone(), after.as_ref(), limit).await.unwrap();
                assert!(page.len() <= usize::try_from(limit).unwrap());
                let Some(last) = page.last() else { break };
                after = Some(DailyTotalKey {
                    day: last.day,
                    app_id: last.app_id.clone(),
                    model_label: last.model_label.clone(),
                });
                seen.extend(page.iter().map(key));
                assert!(seen.len() <= expected.len(), "a page repeats something: {seen:?}");
            }
            assert_eq!(seen, expected, "{breakdown:?} in pages of {limit}");
        }
    }
    // A key need not exist to continue after it.
    let between = DailyTotalKey { day: day("2026-01-01"), app_id: Some(app_id("blog")), model_label: label("zzz") };
    let page = store.daily_totals(acme(), Breakdown::EveryApp, range.clone(), Some(&between), 1).await.unwrap();
    let next = expected_keys(&records, Breakdown::EveryApp, &range)
        .into_iter()
        .find(|key| *key > (day("2026-01-01"), Some("blog".to_owned()), "zzz".to_owned()));
    assert_eq!(page.first().map(key), next);
}

pub(super) async fn daily_totals_say_when_they_last_changed(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let at = |n: u128, app: &str, millis: i64| UsageRecord { recorded_at: noon_plus(millis), ..usage(app, n) };
    let changed = async || {
        let mut instants = Vec::new();
        for breakdown in [Breakdown::App(&app_id("shop")), Breakdown::Org] {
            let totals = store.daily_totals(acme(), breakdown, everything(), None, 10).await.unwrap();
            instants.push(totals[0].updated_at);
        }
        instants
    };
    store.record_usage(&[at(1, "shop", 0)]).await.unwrap();
    assert_eq!(changed().await, [noon(), noon()]);
    store.record_usage(&[at(2, "shop", 5), at(3, "blog", 9)]).await.unwrap();
    assert_eq!(changed().await, [noon_plus(5), noon_plus(9)]);
    // A duplicate changes nothing.
    store.record_usage(&[at(1, "shop", 1_000)]).await.unwrap();
    assert_eq!(changed().await, [noon_plus(5), noon_plus(9)]);
}

pub(super) async fn a_selection_says_when_any_of_its_totals_last_changed(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let changed = async |scope: &Scope, on: &str| store.selection_state(scope, day(on)).await.unwrap().updated_at;
    assert_eq!(changed(&org_scope(), "2026-01-23").await, None);
    let at = |record: UsageRecord, millis| UsageRecord { recorded_at: noon_plus(millis), ..record };
    store.record_usage(&[at(usage("shop", 1), 5), at(usage_of("shop", 2, "economy"), 3)]).await.unwrap();
    store.record_usage(&[at(usage("blog", 3), 7)]).await.unwrap();
    // Another day of the month, and another month.
    store.record_usage(&[at(usage_on("shop", 4, "2026-01-02"), 6)]).await.unwrap();
    store.record_usage(&[at(usage_on("mail", 5, "2025-12-31"), 9)]).await.unwrap();
    for (scope, on, millis) in [
        (app_scope("shop"), "2026-01-23", Some(6)),
        (app_scope("shop"), "2026-01-09", Some(6)),
        (app_scope("blog"), "2026-01-23", Some(7)),
        (org_scope(), "2026-01-23", Some(7)),
        (org_scope(), "2025-12-01", Some(9)),
        (app_scope("mail"), "2026-01-23", None),
        (app_scope("shop"), "2026-02-01", None),
    ] {
        assert_eq!(changed(&scope, on).await, millis.map(noon_plus), "{scope:?} {on}");
    }
    // A duplicate changes nothing.
    store.record_usage(&[at(usage("shop", 1), 99)]).await.unwrap();
    assert_eq!(changed(&app_scope("shop"), "2026-01-23").await, Some(noon_plus(6)));
}
