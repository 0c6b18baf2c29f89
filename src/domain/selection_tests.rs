#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::domain::money::{MicroUsd, PicoUsd};
use crate::domain::quota::{QuotaInput, evaluate};
use proptest::prelude::*;

fn label(text: &str) -> ModelLabel {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    "2026-01-23T15:30:45Z".parse().unwrap()
}

fn quota(spend: u128, quota: u64, month: Option<(u128, u64)>) -> LabelQuota {
    evaluate(&QuotaInput {
        day_spend: PicoUsd::new(spend * 1_000_000),
        day_quota: MicroUsd(quota),
        month_spend: PicoUsd::new(month.map_or(0, |m| m.0) * 1_000_000),
        month_quota: month.map(|m| MicroUsd(m.1)),
        tight_threshold_pct: 95,
    })
}

/// `premium`, `standard`, `economy`, each either exceeded (`true`) or not.
fn chain(exceeded: [bool; 3]) -> Vec<(ModelLabel, LabelQuota)> {
    ["premium", "standard", "economy"]
        .iter()
        .zip(exceeded)
        .map(|(name, exceeded)| (label(name), quota(if exceeded { 100 } else { 0 }, 100, None)))
        .collect()
}

fn state(at: &str, reason: FallbackReason) -> FallbackState {
    FallbackState {
        model_label: label(at),
        model_index: 1,
        previous_model_label: label("premium"),
        reason,
        activated_at: now(),
        version: 4,
    }
}

fn pick(labels: &[(ModelLabel, LabelQuota)], fallback: Option<&FallbackState>, sticky: bool) -> Decision {
    choose(&SelectionInput { labels, fallback, sticky, exhausted_policy: ExhaustedPolicy::Reject, now: now() })
}

fn recommended(decision: &Decision) -> (usize, String, bool) {
    match decision {
        Decision::Recommend { index, reason, advance } => (*index, reason.to_string(), advance.is_some()),
        Decision::Exhausted => panic!("nothing recommended"),
    }
}

#[test]
fn the_first_label_with_room_is_recommended_and_a_move_is_recorded() {
    assert_eq!(recommended(&pick(&chain([false; 3]), None, true)), (0, "NORMAL".into(), false));
    let moved = pick(&chain([true, true, false]), None, true);
    let Decision::Recommend { index: 2, reason, advance: Some(next) } = moved else { panic!("{moved:?}") };
    assert_eq!(reason.to_string(), "QUOTA_EXCEEDED_STANDARD", "the label directly before");
    assert_eq!(next.previous_model_label, label("premium"), "the chain's first on the first move");
    assert_eq!((next.model_label, next.version, next.activated_at), (label("economy"), 1, now()));
}

#[test]
fn a_fallback_sticks_although_an_earlier_label_has_room_again() {
    let standard = state("standard", FallbackReason::QuotaExceeded(label("premium")));
    assert_eq!(recommended(&pick(&chain([false; 3]), Some(&standard), true)), (1, "STICKY_FALLBACK".into(), false));
    let onward = pick(&chain([false, true, false]), Some(&standard), true);
    let Decision::Recommend { advance: Some(next), .. } = onward else { panic!("{onward:?}") };
    assert_eq!((next.previous_model_label, next.version), (label("standard"), 5));
}

#[test]
fn without_sticky_fallback_each_check_starts_at_the_first_label_and_stores_nothing() {
    let standard = state("standard", FallbackReason::QuotaExceeded(label("premium")));
    assert_eq!(recommended(&pick(&chain([false; 3]), Some(&standard), false)), (0, "NORMAL".into(), false));
    let passed = pick(&chain([true, false, false]), None, false);
    assert_eq!(recommended(&passed), (1, "QUOTA_EXCEEDED_PREMIUM".into(), false));
}

#[test]
fn a_state_whose_label_left_the_ordering_is_ignored() {
    let gone = state("retired", FallbackReason::QuotaExceeded(label("premium")));
    assert_eq!(recommended(&pick(&chain([false; 3]), Some(&gone), true)), (0, "NORMAL".into(), false));
    let moved = pick(&chain([true, false, false]), Some(&gone), true);
    let Decision::Recommend { advance: Some(next), .. } = moved else { panic!("{moved:?}") };
    assert_eq!((next.version, next.previous_model_label), (5, label("premium")));
}

#[test]
fn a_manual_override_is_named_as_long_as_it_holds() {
    let first = state("premium", FallbackReason::ManualOverride);
    assert_eq!(recommended(&pick(&chain([false; 3]), Some(&first), true)), (0, "MANUAL_OVERRIDE".into(), false));
    let moved = pick(&chain([true, false, false]), Some(&first), true);
    assert_eq!(recommended(&moved), (1, "QUOTA_EXCEEDED_PREMIUM".into(), true));
}

#[test]
fn when_nothing_is_left_the_policy_decides() {
    let labels = chain([true; 3]);
    assert_eq!(pick(&labels, None, true), Decision::Exhausted);
    // Labels before the sticky position do not count.
    let economy = state("economy", FallbackReason::QuotaExceeded(label("standard")));
    assert_eq!(pick(&chain([false, false, true]), Some(&economy), true), Decision::Exhausted);
    let last = choose(&SelectionInput {
        labels: &labels,
        fallback: None,
        sticky: true,
        exhausted_policy: ExhaustedPolicy::Last,
        now: now(),
    });
    assert_eq!(recommended(&last), (2, "ALL_QUOTAS_EXCEEDED".into(), false));
}

#[test]
fn retry_after_is_the_first_instant_that_frees_a_label() {
    let calendar = Calendar::new("America/New_York").unwrap();
    let today = calendar.day_of(now());
    let midnight: Timestamp = "2026-01-24T05:00:00Z".parse().unwrap();
    let first: Timestamp = "2026-02-01T05:00:00Z".parse().unwrap();
    let day_spent = quota(100, 100, None);
    let month_spent = quota(0, 100, Some((500, 500)));
    let off = quota(0, 0, None);
    assert_eq!(retry_after(&calendar, today, [&day_spent, &month_spent]).unwrap(), midnight);
    assert_eq!(retry_after(&calendar, today, [&off, &month_spent]).unwrap(), first);
    assert_eq!(retry_after(&calendar, today, [&off]).unwrap(), midnight);
}

proptest! {
    /// However quotas are raised and spent during a day, the recommendation only ever moves forward.
    #[test]
    fn within_a_day_the_sticky_position_only_advances(
        checks in proptest::collection::vec(proptest::array::uniform3(any::<bool>()), 1..40),
    ) {
        let mut stored: Option<FallbackState> = None;
        let mut highest = 0;
        for exceeded in checks {
            match pick(&chain(exceeded), stored.as_ref(), true) {
                Decision::Recommend { index, advance, .. } => {
                    prop_assert!(index >= highest);
                    prop_assert!(!exceeded[index]);
                    highest = index;
                    if let Some(next) = advance {
                        prop_assert_eq!(next.version, stored.as_ref().map_or(1, |s| s.version + 1));
                        stored = Some(next);
                    }
                }
                Decision::Exhausted => prop_assert!(exceeded[highest..].iter().all(|e| *e)),
            }
            let position = stored.as_ref().map_or(0, |s| usize::from(s.model_index));
            prop_assert_eq!(position, highest);
        }
    }
}
