#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::money::PicoUsd;

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn counters(requests: u64) -> Counters {
    Counters { cost: PicoUsd::new(u128::from(requests) * 7), requests, ..Counters::default() }
}

fn total(date: &str, app: &str, model: &str, requests: u64) -> DailyTotal {
    DailyTotal {
        day: day(date),
        app_id: Some(app.parse().unwrap()),
        model_label: model.parse().unwrap(),
        counters: counters(requests),
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn by_model(model: &str) -> GroupKey {
    GroupKey { day: None, app_id: None, model_label: Some(model.parse().unwrap()) }
}

fn grouped(
    totals: &[DailyTotal],
    by: Grouping,
    after: Option<GroupKey>,
    limit: usize,
) -> (Vec<RangeRow>, Option<GroupKey>) {
    let mut groups = FirstGroups::new(after, limit + 1);
    for total in totals {
        groups.add(GroupKey::of(total, by), &total.counters).unwrap();
        assert!(groups.groups.len() <= limit + 1, "memory is bounded by the page");
    }
    groups.into_page(limit)
}

fn query(from: &str, to: &str) -> RangeQuery {
    let group_by = Grouping { day: true, ..Grouping::default() };
    RangeQuery { from: day(from), to: day(to), group_by, after: None, limit: 10 }
}

fn refused_field(query: &RangeQuery, scope: &Scope) -> Option<String> {
    match query.validate(scope, day("2026-01-23")) {
        Ok(()) => None,
        Err(ServiceError::InvalidRequest { field, .. }) => Some(field),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn groups_gather_parts_that_lie_apart_and_come_in_key_order() {
    let totals = [
        total("2026-01-01", "a", "premium", 1),
        total("2026-01-01", "b", "economy", 2),
        total("2026-01-02", "a", "economy", 4),
        total("2026-01-02", "a", "premium", 8),
    ];
    let (rows, next) = grouped(&totals, Grouping { model: true, ..Grouping::default() }, None, 10);
    let expected = [("economy", 6), ("premium", 9)]
        .map(|(model, requests)| RangeRow { key: by_model(model), counters: counters(requests) });
    assert_eq!((rows.as_slice(), next), (expected.as_slice(), None));

    let (rows, _) = grouped(&totals, Grouping { day: true, app: true, model: false }, None, 10);
    let keys: Vec<_> =
        rows.iter().map(|row| (row.key.day.unwrap().to_string(), row.key.app_id.clone().unwrap())).collect();
    let expected = [("2026-01-01", "a"), ("2026-01-01", "b"), ("2026-01-02", "a")]
        .map(|(date, app)| (date.to_owned(), app.parse().unwrap()));
    assert_eq!(keys, expected);
}

#[test]
fn a_page_says_where_the_next_one_starts_only_where_there_is_one() {
    let totals = ["a", "b", "c"].map(|model| total("2026-01-01", "app", model, 1));
    let by = Grouping { model: true, ..Grouping::default() };
    let (rows, next) = grouped(&totals, by, None, 2);
    assert_eq!((rows.len(), next), (2, Some(by_model("b"))));
    let (rows, next) = grouped(&totals, by, Some(by_model("b")), 2);
    assert_eq!((rows.len(), next), (1, None));
    assert_eq!(grouped(&totals, by, None, 3).1, None);
}

#[test]
fn a_range_is_refused_by_the_field_that_is_wrong() {
    let org = Scope::org("550e8400-e29b-41d4-a716-446655440000".parse().unwrap());
    let app = Scope::app(org.org_id, "chat".parse().unwrap());
    assert_eq!(refused_field(&query("2026-01-23", "2026-01-23"), &org), None);
    assert_eq!(refused_field(&query("2026-01-02", "2026-01-01"), &org).as_deref(), Some("from"));
    assert_eq!(refused_field(&query("2026-01-01", "2026-01-24"), &org).as_deref(), Some("to"));
    assert_eq!(refused_field(&query("2026-01-24", "2026-01-24"), &org).as_deref(), Some("from"));
    // 400 days, the first and the last counted, end here.
    assert_eq!(refused_field(&query("2024-12-20", "2026-01-23"), &org), None);
    assert_eq!(refused_field(&query("2024-12-19", "2026-01-23"), &org).as_deref(), Some("from"));

    let mut by_app = query("2026-01-01", "2026-01-02");
    by_app.group_by.app = true;
    assert_eq!(refused_field(&by_app, &org), None);
    assert_eq!(refused_field(&by_app, &app).as_deref(), Some("group_by"));
}

proptest! {
    #[test]
    fn pages_together_are_what_one_large_page_is(
        parts in proptest::collection::vec((1u8..5, 0u8..4, 0u8..5, 1u64..100), 0..60),
        (by_day, by_app, by_model) in (any::<bool>(), any::<bool>(), any::<bool>()),
        limit in 1usize..6,
    ) {
        let by = Grouping { day: by_day, app: by_app, model: by_model };
        let totals: Vec<_> = parts
            .iter()
            .map(|(d, a, m, n)| total(&format!("2026-01-0{d}"), &format!("app{a}"), &format!("m{m}"), *n))
            .collect();
        let (whole, _) = grouped(&totals, by, None, 1_000);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let (rows, next) = grouped(&totals, by, after, limit);
            paged.extend(rows);
            after = next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(&paged, &whole);
        let requests: u64 = whole.iter().map(|row| row.counters.requests).sum();
        prop_assert_eq!(requests, parts.iter().map(|part| part.3).sum::<u64>());
    }
}
