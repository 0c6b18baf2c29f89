//! Recording usage, exactly once.

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::money::{CostDrift, PicoUsd};
use bedrock_cost_keeper::domain::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use bedrock_cost_keeper::domain::usage::{
    CallStatus, CostSource, Counters, LabelTotals, RecordPricing, SpendTotals, UsageRecord,
};
use bedrock_cost_keeper::storage::{RecordOutcome, Storage};

use crate::support::samples::{
    acme, app_id, app_scope, day, forged, label, noon_plus, org_id, org_scope, request_id, usage, usage_of, usage_on,
};
use crate::support::stores::FreshStore;

/// What several records come to.
fn sum<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Counters {
    records.into_iter().fold(Counters::default(), |sum, record| sum.checked_add(&record.counters()).unwrap())
}

async fn stored_totals(store: &dyn Storage, record: &UsageRecord) -> LabelTotals {
    store.label_totals(record.org_id, &record.app_id, &record.model_label, record.day).await.unwrap()
}

/// Totals of a label that only one application used, within one day.
fn all(counters: Counters) -> LabelTotals {
    let spend = SpendTotals { day: counters, month: counters };
    LabelTotals { app: spend, org: spend }
}

pub(super) async fn ingest_limits_admit_a_callers_batch(fresh: FreshStore) {
    let limits = fresh.migrated().await.ingest_limits();
    assert!(limits.max_batch >= 100 && limits.concurrency >= 1, "{limits:?}");
}

pub(super) async fn a_full_batch_is_recorded(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records: Vec<_> = (0..store.ingest_limits().max_batch).map(|n| usage("shop", n as u128)).collect();
    let outcomes = store.record_usage(&records).await.unwrap();
    assert_eq!(outcomes.len(), records.len());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))));
    assert_eq!(stored_totals(&*store, &records[0]).await, all(sum(&records)));
    let again = store.record_usage(&records).await.unwrap();
    assert!(again.iter().all(|outcome| matches!(outcome, RecordOutcome::Duplicate(..))));
    assert_eq!(stored_totals(&*store, &records[0]).await, all(sum(&records)));
}

pub(super) async fn recording_nothing_answers_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.record_usage(&[]).await.unwrap(), []);
}

pub(super) async fn every_field_of_a_usage_record_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let full = UsageRecord {
        org_id: org_id(u128::MAX),
        app_id: app_id("Shop.1_x-y"),
        fingerprint: std::array::from_fn(|n| 255 - u8::try_from(n).unwrap()),
        model_label: label("tier-1_x"),
        day: day("2024-02-29"),
        timestamp: noon_plus(-86_399_999),
        recorded_at: noon_plus(999),
        status: CallStatus::Error,
        cost_source: CostSource::Client,
        cost: PicoUsd::new(9_223_372_036_854_775_807_999_999),
        server_cost: Some(PicoUsd::new(999_999)),
        tokens: TokenCounts { input: 1, output: 1 << 40, cache_read: 3, cache_write: 4, cache_write_1h: 2 },
        cache_ttl_assumed: true,
        pricing: RecordPricing {
            status: PricingStatus::Estimated,
            source: Some(PriceSource::PricingApi),
            version: Some("v \"2\" 'ü'".to_owned()),
            model_id: "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.x-v1:0".to_owned(),
        },
        calling_region: Some("eu-central-1".to_owned()),
        service_tier: ServiceTier::Priority,
        latency: Latency::Optimized,
        shard_id: 255,
        ..usage("shop", u128::MAX)
    };
    let bare = UsageRecord {
        cost: PicoUsd::ZERO,
        server_cost: None,
        tokens: TokenCounts::default(),
        pricing: RecordPricing {
            status: PricingStatus::Unpriced,
            source: None,
            version: None,
            model_id: String::new(),
        },
        calling_region: None,
        shard_id: 0,
        ..usage("shop", 0)
    };
    store.record_usage(&[full.clone(), bare.clone()]).await.unwrap();
    for record in [full, bare] {
        let stored = store.usage(record.org_id, &record.app_id, record.request_id).await.unwrap();
        assert_eq!(stored, Some(record));
    }
}

pub(super) async fn every_enumeration_value_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut records = Vec::new();
    let next = |records: &Vec<UsageRecord>| usage("shop", records.len() as u128);
    for service_tier in [ServiceTier::Default, ServiceTier::Priority, ServiceTier::Flex, ServiceTier::Batch] {
        records.push(UsageRecord { service_tier, ..next(&records) });
    }
    for latency in [Latency::Standard, Latency::Optimized] {
        records.push(UsageRecord { latency, ..next(&records) });
    }
    for status in [CallStatus::Ok, CallStatus::Error] {
        records.push(UsageRecord { status, ..next(&records) });
    }
    for cost_source in [CostSource::Server, CostSource::Client] {
        records.push(UsageRecord { cost_source, ..next(&records) });
    }
    for status in [PricingStatus::Priced, PricingStatus::Estimated, PricingStatus::Unpriced] {
        let pricing = RecordPricing { status, ..next(&records).pricing };
        records.push(UsageRecord { pricing, ..next(&records) });
    }
    for source in [PriceSource::PricingApi, PriceSource::Config, PriceSource::Cached, PriceSource::Embedded] {
        let pricing = RecordPricing { source: Some(source), ..next(&records).pricing };
        records.push(UsageRecord { pricing, ..next(&records) });
    }
    store.record_usage(&records).await.unwrap();
    for record in records {
        assert_eq!(store.usage(acme(), &record.app_id, record.request_id).await.unwrap(), Some(record));
    }
}

pub(super) async fn an_unknown_submission_is_none(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert_eq!(store.usage(acme(), &app_id("shop"), request_id(2)).await.unwrap(), None);
    assert_eq!(store.usage(acme(), &app_id("blog"), request_id(1)).await.unwrap(), None);
    assert_eq!(store.usage(org_id(9), &app_id("shop"), request_id(1)).await.unwrap(), None);
}

pub(super) async fn accepted_totals_include_the_record(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let (first, second) = (usage("shop", 1), usage("shop", 2));
    let outcomes = store.record_usage(std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(outcomes, [RecordOutcome::Accepted(all(first.counters()))]);
    let outcomes = store.record_usage(std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(outcomes, [RecordOutcome::Accepted(all(sum([&first, &second])))]);
    assert_eq!(stored_totals(&*store, &first).await, all(sum([&first, &second])));
}

pub(super) async fn a_record_adds_to_its_application_and_its_organization_in_day_and_month(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let shop_today = usage("shop", 1);
    let shop_earlier = usage_on("shop", 2, "2026-01-05");
    let blog_today = usage("blog", 3);
    let outcomes = store.record_usage(&[shop_earlier.clone(), blog_today.clone(), shop_today.clone()]).await.unwrap();
    let expected = LabelTotals {
        app: SpendTotals { day: sum([&shop_today]), month: sum([&shop_today, &shop_earlier]) },
        org: SpendTotals {
            day: sum([&shop_today, &blog_today]),
            month: sum([&shop_today, &shop_earlier, &blog_today]),
        },
    };
    assert_eq!(outcomes[2], RecordOutcome::Accepted(expected));
    assert_eq!(stored_totals(&*store, &shop_today).await, expected);
}

pub(super) async fn every_counter_counts(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut error = usage("shop", 1);
    error.status = CallStatus::Error;
    let mut unpriced = usage("shop", 2);
    unpriced.pricing.status = PricingStatus::Unpriced;
    unpriced.cost = PicoUsd::ZERO;
    let mut client = usage("shop", 3);
    client.cost_source = CostSource::Client;
    client.cost = PicoUsd::new(1);
    let outcomes = store.record_usage(&[error, unpriced, client]).await.unwrap();
    let expected = Counters {
        cost: PicoUsd::new(1_500_001),
        drift: CostDrift::new(-1_499_999),
        requests: 3,
        errors: 1,
        unpriced_requests: 1,
        input_tokens: 33,
        output_tokens: 66,
        cache_read_input_tokens: 99,
        cache_write_input_tokens: 132,
    };
    assert_eq!(outcomes[2], RecordOutcome::Accepted(all(expected)));
    assert_eq!(stored_totals(&*store, &usage("shop", 1)).await, all(expected));
}

pub(super) async fn an_identical_repeat_is_a_duplicate_with_the_first_record_and_todays_totals_and_changes_nothing(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    let (first, other) = (usage("shop", 1), usage("shop", 2));
    store.record_usage(&[first.clone(), other.clone()]).await.unwrap();
    let totals = all(sum([&first, &other]));
    // The repeat was priced and timed anew; what counts is the fingerprint.
    let repeat = UsageRecord {
        cost: PicoUsd::new(77),
        timestamp: noon_plus(500),
        recorded_at: noon_plus(60_000),
        shard_id: 0,
        ..first.clone()
    };
    for _ in 0..2 {
        let outcomes = store.record_usage(std::slice::from_ref(&repeat)).await.unwrap();
        assert_eq!(outcomes, [RecordOutcome::Duplicate(Box::new(first.clone()), totals)]);
    }
    assert_eq!(stored_totals(&*store, &first).await, totals);
    assert_eq!(store.usage(acme(), &first.app_id, first.request_id).await.unwrap(), Some(first));
}

pub(super) async fn a_repeat_with_another_fingerprint_is_a_conflict_and_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = usage("shop", 1);
    store.record_usage(std::slice::from_ref(&first)).await.unwrap();
    let other = UsageRecord { model_label: label("economy"), ..forged(&first) };
    assert_eq!(store.record_usage(&[other]).await.unwrap(), [RecordOutcome::Conflict]);
    let totals = store.totals(&app_scope("shop"), first.day).await.unwrap();
    assert_eq!(totals.into_keys().collect::<Vec<_>>(), [label("premium")]);
    assert_eq!(stored_totals(&*store, &first).await, all(first.counters()));
    assert_eq!(store.usage(acme(), &first.app_id, first.request_id).await.unwrap(), Some(first));
}

pub(super) async fn a_repeat_inside_one_call_is_a_duplicate(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = usage("shop", 1);
    let later = UsageRecord { recorded_at: noon_plus(1), ..first.clone() };
    let outcomes = store.record_usage(&[first.clone(), later.clone(), later]).await.unwrap();
    let totals = all(first.counters());
    let duplicate = RecordOutcome::Duplicate(Box::new(first.clone()), totals);
    assert_eq!(outcomes, [RecordOutcome::Accepted(totals), duplicate.clone(), duplicate]);
    assert_eq!(stored_totals(&*store, &first).await, totals);
}

pub(super) async fn another_submission_under_the_same_id_inside_one_call_is_a_conflict(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = usage("shop", 1);
    let outcomes = store.record_usage(&[first.clone(), forged(&first), first.clone()]).await.unwrap();
    assert!(
        matches!(
            &outcomes[..],
            [RecordOutcome::Accepted(_), RecordOutcome::Conflict, RecordOutcome::Duplicate(stored, _)] if **stored == first
        ),
        "{outcomes:?}"
    );
    assert_eq!(stored_totals(&*store, &first).await, all(first.counters()));
}

pub(super) async fn one_refused_record_does_not_affect_the_others_and_outcomes_are_in_order(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let known = usage("shop", 1);
    store.record_usage(std::slice::from_ref(&known)).await.unwrap();
    let (good, better) = (usage("shop", 2), usage_of("blog", 3, "economy"));
    let impossible = UsageRecord { cost: PicoUsd::new(u128::MAX), ..usage("shop", 4) };
    let outcomes = store
        .record_usage(&[forged(&known), good.clone(), impossible, known.clone(), better.clone(), forged(&good)])
        .await
        .unwrap();
    let totals = all(sum([&known, &good]));
    assert_eq!(
        outcomes,
        [
            RecordOutcome::Conflict,
            RecordOutcome::Accepted(totals),
            RecordOutcome::Overflow,
            RecordOutcome::Duplicate(Box::new(known), totals),
            RecordOutcome::Accepted(all(better.counters())),
            RecordOutcome::Conflict,
        ]
    );
    assert_eq!(stored_totals(&*store, &good).await, totals);
    assert_eq!(stored_totals(&*store, &better).await, all(better.counters()));
}

pub(super) async fn the_same_request_id_in_another_application_or_organization_is_another_submission(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    let records = [
        usage("shop", 1),
        forged(&usage("blog", 1)),
        // Application ids are case-sensitive.
        forged(&usage("Shop", 1)),
        forged(&UsageRecord { org_id: org_id(9), ..usage("shop", 1) }),
    ];
    let outcomes = store.record_usage(&records).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))), "{outcomes:?}");
    for record in &records {
        let stored = store.usage(record.org_id, &record.app_id, record.request_id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(record));
    }
    let neighbour = store.totals(&Scope::org(org_id(9)), records[0].day).await.unwrap();
    assert_eq!(neighbour[&label("premium")].day.requests, 1);
}

pub(super) async fn a_batch_comes_to_what_its_records_one_by_one_come_to(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let in_org = |n: u128| {
        let mut records: Vec<_> = (0..150)
            .map(|i: u128| UsageRecord {
                org_id: org_id(n),
                model_label: label(["premium", "standard", "economy"][i as usize % 3]),
                day: day(["2026-01-31", "2026-02-01"][i as usize % 2]),
                cost: PicoUsd::new(i * 350_001),
                ..usage(["shop", "blog", "mail", "chat", "etl"][i as usize % 5], i)
            })
            .collect();
        records.push(records[7].clone());
        records.push(forged(&records[8]));
        records
    };
    let (batch, singles) = (in_org(1), in_org(2));
    let mut at_once = Vec::new();
    for call in batch.chunks(store.ingest_limits().max_batch) {
        at_once.extend(store.record_usage(call).await.unwrap());
    }
    let mut one_by_one = Vec::new();
    for record in &singles {
        one_by_one.extend(store.record_usage(std::slice::from_ref(record)).await.unwrap());
    }
    let kinds = |outcomes: &[RecordOutcome]| outcomes.iter().map(std::mem::discriminant).collect::<Vec<_>>();
    assert_eq!(kinds(&at_once), kinds(&one_by_one));
    for (left, right) in batch.iter().zip(&singles) {
        assert_eq!(stored_totals(&*store, left).await, stored_totals(&*store, right).await);
    }
}

pub(super) async fn ten_thousand_submissions_of_a_fraction_of_a_micro_dollar_sum_exactly(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let records: Vec<_> =
        (0..10_000).map(|n| UsageRecord { cost: PicoUsd::new(350_000), ..usage("shop", n) }).collect();
    for batch in records.chunks(store.ingest_limits().max_batch.min(499)) {
        store.record_usage(batch).await.unwrap();
    }
    let totals = stored_totals(&*store, &records[0]).await;
    for spend in [totals.app, totals.org] {
        for counters in [spend.day, spend.month] {
            assert_eq!(counters.cost, PicoUsd::new(3_500_000_000));
            assert_eq!(counters.cost.to_micros_half_up(), 3_500);
            assert_eq!(counters.requests, 10_000);
        }
    }
}

pub(super) async fn a_repeat_across_midnight_belongs_to_the_first_day(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = usage_on("shop", 1, "2026-01-31");
    let repeat = usage_on("shop", 1, "2026-02-01");
    store.record_usage(std::slice::from_ref(&first)).await.unwrap();
    let outcomes = store.record_usage(&[repeat.clone(), usage_on("shop", 2, "2026-02-01")]).await.unwrap();
    assert_eq!(outcomes[0], RecordOutcome::Duplicate(Box::new(first.clone()), all(first.counters())));
    assert_eq!(stored_totals(&*store, &repeat).await, all(first.counters()), "only the other submission");
    assert_eq!(store.totals(&org_scope(), first.day).await.unwrap().len(), 1);
}

pub(super) async fn drift_is_the_signed_sum_of_client_minus_server(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut drift = 0;
    for (n, (client, server)) in
        [(5, 1_000_003), (2_000_000, 1), (0, 3_999_999), (7, 7), (1, 2_000_000)].iter().enumerate()
    {
        let record = UsageRecord {
            cost_source: CostSource::Client,
            cost: PicoUsd::new(*client),
            server_cost: Some(PicoUsd::new(*server)),
            ..usage("shop", n as u128)
        };
        store.record_usage(std::slice::from_ref(&record)).await.unwrap();
        drift += i128::try_from(*client).unwrap() - i128::try_from(*server).unwrap();
        assert_eq!(stored_totals(&*store, &record).await.org.month.drift, CostDrift::new(drift));
    }
}
