use aws_sdk_dynamodb::types::CancellationReason;
use proptest::prelude::*;

use super::super::attributes::{Item, s};
use super::super::samples::{unpriced, usage};
use super::super::writes::Refusals;
use super::*;

fn reason(code: &str) -> CancellationReason {
    CancellationReason::builder().code(code).build()
}

fn taken(item: Option<Item>) -> CancellationReason {
    CancellationReason::builder().code("ConditionalCheckFailed").set_item(item).build()
}

/// What a transaction of two submissions and their counter, canceled for these reasons, comes to.
fn canceled(reasons: impl IntoIterator<Item = CancellationReason>) -> Result<(Vec<usize>, bool)> {
    let records = [usage(1), usage(2)];
    let plan = Plan::of(&records.iter().collect::<Vec<_>>(), 0);
    let canceled = plan.canceled(&Refusals(reasons.into_iter().collect()))?;
    Ok((canceled.taken.into_iter().map(|(place, _)| place).collect(), canceled.contended))
}

#[test]
fn a_failed_condition_takes_its_submission_out_and_the_others_go_on() {
    assert_eq!(canceled([taken(None), reason("None"), reason("None")]).unwrap(), (vec![0], false));
    assert_eq!(canceled([taken(None), taken(None), reason("None")]).unwrap(), (vec![0, 1], false));
}

#[test]
fn what_is_there_comes_with_the_reason_and_an_empty_item_is_none() {
    let records = [usage(1), usage(2)];
    let plan = Plan::of(&records.iter().collect::<Vec<_>>(), 0);
    let item = Item::from([("pk".to_owned(), s("x"))]);
    let refusals = Refusals(vec![taken(Some(item.clone())), taken(Some(Item::new())), reason("None")]);
    assert_eq!(plan.canceled(&refusals).unwrap().taken, [(0, Some(item)), (1, None)]);
}

#[test]
fn conflicts_and_throttling_let_everything_wait() {
    for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        assert_eq!(canceled([reason("None"), reason("None"), reason(code)]).unwrap(), (vec![], true), "{code}");
        assert_eq!(canceled([reason(code), taken(None), reason("None")]).unwrap(), (vec![1], true), "{code}");
    }
}

#[test]
fn reasons_that_stay_are_errors_with_their_code_and_nothing_else() {
    for code in ["ValidationError", "ItemCollectionSizeLimitExceeded", "DuplicateItem", "AccessDenied", "Unheard"] {
        let reason = CancellationReason::builder().code(code).message("hunter2").build();
        let error = canceled([taken(None), reason, self::reason("TransactionConflict")]).unwrap_err();
        assert!(matches!(&error, StorageError::Backend(text) if text == code), "{error}");
    }
}

#[test]
fn a_cancellation_that_says_nothing_useful_is_an_error() {
    let all_fine = [reason("None"), reason("None"), reason("None")];
    assert!(matches!(canceled(all_fine), Err(StorageError::Backend(_))));
    assert!(matches!(canceled([]), Err(StorageError::Backend(_))));
    let counter = [reason("None"), reason("None"), taken(None)];
    assert!(matches!(canceled(counter), Err(StorageError::Backend(_))), "a counter has no condition");
}

#[test]
fn usage_of_one_key_is_counted_in_one_shard_and_another_one_in_the_next_attempt() {
    let mut records: Vec<_> = (1..=5).map(usage).collect();
    records[4].app_id = "blog".parse().unwrap();
    let borrowed: Vec<_> = records.iter().collect();
    let shards = |attempt| {
        let plan = Plan::of(&borrowed, attempt);
        assert_eq!(plan.additions.len(), 2);
        plan.records.iter().map(|(_, shard)| *shard).collect::<Vec<_>>()
    };
    assert_eq!(shards(0), [1, 1, 1, 1, 5]);
    assert_eq!(shards(1), [2, 2, 2, 2, 5]);
    assert_eq!(shards(3), [4, 4, 4, 4, 5]);
    assert_eq!(shards(4), [1, 1, 1, 1, 5]);
}

#[test]
fn a_shard_is_one_that_is_read() {
    let record = UsageRecord { shard_id: 255, ..usage(1) };
    assert_eq!(Plan::of(&[&record], 0).records[0].1, 63);
}

#[test]
fn a_counter_gets_the_sum_of_its_submissions_and_their_latest_instant() {
    let mut records = [usage(1), unpriced(2), usage(3)];
    records[1].recorded_at = "2026-01-23T12:00:09Z".parse().unwrap();
    let plan = Plan::of(&records.iter().collect::<Vec<_>>(), 0);
    let [addition] = plan.additions.values().collect::<Vec<_>>()[..] else { panic!("{plan:?}") };
    let counters = addition.tally.counters();
    assert_eq!((counters.requests, counters.unpriced_requests, counters.cost.get()), (3, 1, 3_000_000));
    assert_eq!(addition.last, records[1].recorded_at);
}

proptest! {
    #[test]
    fn groups_fit_a_transaction_lose_nothing_and_are_few(
        kinds in proptest::collection::vec((0..3_u8, 0..3_u8, any::<bool>()), 0..100)
    ) {
        let records: Vec<_> = kinds
            .iter()
            .zip(0..)
            .map(|((app, label, without_price), n)| {
                let mut record = if *without_price { unpriced(n) } else { usage(n) };
                record.app_id = ["a", "b", "c"][usize::from(*app)].parse().unwrap();
                record.model_label = ["x", "y", "z"][usize::from(*label)].parse().unwrap();
                record
            })
            .collect();
        let groups = groups(&records.iter().collect::<Vec<_>>());
        let mut ids: Vec<_> = groups.iter().flatten().map(|record| record.request_id).collect();
        ids.sort_unstable();
        prop_assert_eq!(ids, records.iter().map(|record| record.request_id).collect::<Vec<_>>());
        let mut steps = 0;
        for group in &groups {
            let plan = Plan::of(group, 0);
            let pointers = group.iter().filter(|record| record.is_repriceable()).count();
            let of_group = plan.records.len() + pointers + plan.additions.len();
            prop_assert!(of_group <= MAX_STEPS && !group.is_empty());
            steps += of_group;
        }
        // A counter is in two groups only where a group ends.
        prop_assert!(groups.len() <= steps.div_ceil(MAX_STEPS - 2).max(1));
    }
}
