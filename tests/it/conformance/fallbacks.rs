//! Sticky fallback states.

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::selection::{FallbackReason, FallbackState};
use bedrock_cost_keeper::storage::{FallbackSwap, Storage};

use crate::support::samples::{app_id, app_scope, at, day, label, noon_plus, org_id, org_scope, state, usage};
use crate::support::stores::FreshStore;

const TODAY: &str = "2026-01-23";
const EXPIRES: &str = "2026-01-25T05:00:00Z";

async fn swap(store: &dyn Storage, scope: &Scope, next: &FallbackState) -> FallbackSwap {
    store.swap_fallback(scope, day(TODAY), next, at(EXPIRES)).await.unwrap()
}

pub(super) async fn a_scope_starts_without_state(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), None);
    let selection = store.selection_state(&org_scope(), day(TODAY)).await.unwrap();
    assert!(selection.fallback.is_none() && selection.totals.is_empty());
}

pub(super) async fn every_field_of_a_state_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = FallbackState { model_index: u16::MAX, activated_at: noon_plus(7), ..state("standard", 1) };
    assert_eq!(swap(&*store, &org_scope(), &first).await, FallbackSwap::Stored);
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), Some(first));
    let second = FallbackState {
        reason: FallbackReason::ManualOverride,
        previous_model_label: label("standard"),
        model_index: 0,
        ..state("economy", 2)
    };
    assert_eq!(swap(&*store, &org_scope(), &second).await, FallbackSwap::Stored);
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), Some(second));
}

pub(super) async fn a_first_state_is_stored_only_where_there_is_none(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = state("standard", 1);
    assert_eq!(swap(&*store, &org_scope(), &first).await, FallbackSwap::Stored);
    let lost = swap(&*store, &org_scope(), &state("economy", 1)).await;
    assert_eq!(lost, FallbackSwap::Lost(Some(first.clone())));
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), Some(first));
}

pub(super) async fn a_later_state_replaces_exactly_its_predecessor(fresh: FreshStore) {
    let store = fresh.migrated().await;
    swap(&*store, &org_scope(), &state("standard", 1)).await;
    let second = state("economy", 2);
    assert_eq!(swap(&*store, &org_scope(), &second).await, FallbackSwap::Stored);
    for version in [1, 2, 4] {
        let lost = swap(&*store, &org_scope(), &state("standard", version)).await;
        assert_eq!(lost, FallbackSwap::Lost(Some(second.clone())), "version {version}");
    }
    assert_eq!(swap(&*store, &org_scope(), &state("standard", 3)).await, FallbackSwap::Stored);
}

pub(super) async fn a_later_state_without_predecessor_is_lost(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(swap(&*store, &org_scope(), &state("standard", 2)).await, FallbackSwap::Lost(None));
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), None);
}

pub(super) async fn states_of_other_scopes_and_days_are_separate(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let stored = state("standard", 1);
    swap(&*store, &app_scope("shop"), &stored).await;
    let others = [org_scope(), app_scope("blog"), Scope::app(org_id(9), app_id("shop"))];
    for scope in &others {
        assert_eq!(store.fallback(scope, day(TODAY)).await.unwrap(), None);
        assert_eq!(swap(&*store, scope, &state("economy", 1)).await, FallbackSwap::Stored);
    }
    for other_day in ["2026-01-22", "2026-01-24"] {
        assert_eq!(store.fallback(&app_scope("shop"), day(other_day)).await.unwrap(), None);
    }
    store.clear_fallback(&org_scope(), day(TODAY)).await.unwrap();
    store.clear_fallback(&app_scope("shop"), day("2026-01-24")).await.unwrap();
    assert_eq!(store.fallback(&app_scope("shop"), day(TODAY)).await.unwrap(), Some(stored));
}

pub(super) async fn a_cleared_state_is_gone_and_the_next_one_is_a_first(fresh: FreshStore) {
    let store = fresh.migrated().await;
    swap(&*store, &org_scope(), &state("standard", 1)).await;
    store.clear_fallback(&org_scope(), day(TODAY)).await.unwrap();
    assert_eq!(store.fallback(&org_scope(), day(TODAY)).await.unwrap(), None);
    assert_eq!(swap(&*store, &org_scope(), &state("economy", 2)).await, FallbackSwap::Lost(None));
    assert_eq!(swap(&*store, &org_scope(), &state("economy", 1)).await, FallbackSwap::Stored);
}

pub(super) async fn clearing_nothing_is_fine(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.clear_fallback(&org_scope(), day(TODAY)).await.unwrap();
    store.clear_fallback(&app_scope("shop"), day(TODAY)).await.unwrap();
}

pub(super) async fn selection_state_has_totals_and_fallback(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.record_usage(&[usage("shop", 1), usage("blog", 2)]).await.unwrap();
    let stored = state("standard", 1);
    swap(&*store, &app_scope("shop"), &stored).await;
    for (scope, fallback) in [(app_scope("shop"), Some(stored)), (app_scope("blog"), None), (org_scope(), None)] {
        let selection = store.selection_state(&scope, day(TODAY)).await.unwrap();
        assert_eq!(selection.totals, store.totals(&scope, day(TODAY)).await.unwrap());
        assert_eq!(selection.totals.len(), 1);
        assert_eq!(selection.fallback, fallback);
    }
}
