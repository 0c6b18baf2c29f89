//! What holds when everybody comes at once, from several instances.

use std::collections::HashSet;
use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::domain::usage::UsageRecord;
use bedrock_cost_keeper::storage::{FallbackSwap, NewClient, RecordOutcome, Storage, StorageError, TakenSecret};
use futures::future::join_all;
use uuid::Uuid;

use super::month_total;
use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, hash, label, noon, noon_plus, org, org_scope, request_id, sealed_client,
    state, usage, usage_of,
};
use crate::support::stores::FreshStore;

/// Two instances on the same data.
async fn two_instances(fresh: &FreshStore) -> [Arc<dyn Storage>; 2] {
    [fresh.migrated().await, fresh.instance().await]
}

/// Runs `tasks` tasks at once, spread over the instances, and collects what they answer.
async fn all_at_once<T, F>(
    stores: &[Arc<dyn Storage>; 2],
    tasks: usize,
    task: impl Fn(Arc<dyn Storage>, usize) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let spawned = (0..tasks).map(|n| tokio::spawn(task(Arc::clone(&stores[n % 2]), n)));
    join_all(spawned.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}

pub(super) async fn identical_concurrent_submissions_count_once(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    let outcomes =
        all_at_once(&stores, 64, async |store, _| store.record_usage(&[usage("shop", 1)]).await.unwrap().remove(0))
            .await;
    let accepted = outcomes.iter().filter(|outcome| matches!(outcome, RecordOutcome::Accepted(_))).count();
    let duplicates = outcomes.iter().filter(|outcome| {
        matches!(outcome, RecordOutcome::Duplicate(first, totals)
            if **first == usage("shop", 1) && totals.org.month.requests == 1)
    });
    assert_eq!((accepted, duplicates.count()), (1, 63));
    for store in &stores {
        let totals = store.totals(&org_scope(), day("2026-01-23")).await.unwrap();
        assert_eq!(totals[&label("premium")].day, usage("shop", 1).counters());
    }
}

pub(super) async fn of_concurrent_submissions_under_one_id_one_counts_and_all_agree_which(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    // Two callers use the same id for different submissions, sixteen times each.
    let variant = |n: usize| {
        let label = ["premium", "economy"][(n / 2) % 2];
        UsageRecord { fingerprint: [u8::try_from((n / 2) % 2).unwrap(); 32], ..usage_of("shop", 1, label) }
    };
    let outcomes =
        all_at_once(
            &stores,
            32,
            move |store, n| async move { store.record_usage(&[variant(n)]).await.unwrap().remove(0) },
        )
        .await;
    let stored = stores[0].usage(acme(), &app_id("shop"), request_id(1)).await.unwrap().unwrap();
    let mut accepted = 0;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            RecordOutcome::Accepted(_) => accepted += 1,
            RecordOutcome::Duplicate(first, _) => assert_eq!(**first, stored),
            RecordOutcome::Conflict => assert_ne!(variant(n).fingerprint, stored.fingerprint),
            RecordOutcome::Overflow => panic!("nothing overflows"),
        }
        if variant(n).fingerprint == stored.fingerprint {
            assert_ne!(*outcome, RecordOutcome::Conflict);
        }
    }
    assert_eq!(accepted, 1);
    let total = month_total(&*stores[0], &org_scope(), stored.day).await;
    assert_eq!(total, stored.counters());
}

pub(super) async fn concurrent_batches_lose_no_count(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    let batch = |n: usize| -> Vec<UsageRecord> {
        // Each batch repeats half of the one before it.
        let first = n as u128 * 20;
        (first..first + 40)
            .map(|n| usage_of(["shop", "blog"][n as usize % 2], n, ["premium", "economy"][n as usize / 2 % 2]))
            .collect()
    };
    all_at_once(&stores, 24, move |store, n| async move { store.record_usage(&batch(n)).await.unwrap() }).await;
    let distinct = 24 * 20 + 20;
    let total = month_total(&*stores[1], &org_scope(), day("2026-01-23")).await;
    assert_eq!(total.requests, distinct);
    assert_eq!(total.cost.get(), u128::from(distinct) * 1_500_000);
    let mut of_apps = 0;
    for app in ["shop", "blog"] {
        of_apps += month_total(&*stores[0], &app_scope(app), day("2026-01-23")).await.requests;
    }
    assert_eq!(of_apps, distinct);
}

pub(super) async fn of_concurrent_creations_of_one_org_exactly_one_succeeds(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    let results = all_at_once(&stores, 12, async |store, n| {
        let mut mine = org(acme());
        mine.config.org_name = n.to_string();
        store.create_org(&mine, &client(org_scope(), u8::try_from(n).unwrap())).await
    })
    .await;
    let winner = exactly_one(&results, |error| matches!(error, StorageError::AlreadyExists));
    let tenant = stores[1].tenant(&org_scope()).await.unwrap().unwrap();
    assert_eq!(tenant.org.config.org_name, winner.to_string());
    let credential = stores[1].credential(&ClientId::of(org_scope())).await.unwrap().unwrap();
    assert_eq!(credential.current, hash(u8::try_from(winner).unwrap()), "the winner's credential");
}

/// The index of the one success; every other result is the expected refusal.
fn exactly_one(results: &[Result<(), StorageError>], refused: impl Fn(&StorageError) -> bool) -> usize {
    let winners: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(n, _)| n).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(refused), "{results:?}");
    winners[0]
}

pub(super) async fn of_concurrent_updates_of_one_org_exactly_one_wins(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    stores[0].create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let results = all_at_once(&stores, 12, async |store, n| {
        let mut changed = org(acme());
        changed.config.org_name = n.to_string();
        changed.version = 2;
        store.update_org(&changed, 1).await
    })
    .await;
    let winner = exactly_one(&results, |error| matches!(error, StorageError::Conflict));
    let tenant = stores[1].tenant(&org_scope()).await.unwrap().unwrap();
    assert_eq!((tenant.org.version, tenant.org.config.org_name), (2, winner.to_string()));
}

pub(super) async fn of_concurrent_updates_of_one_app_exactly_one_wins(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    stores[0].create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    stores[0].create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    let results = all_at_once(&stores, 12, async |store, n| {
        let mut changed = app(acme(), "shop");
        changed.config.app_name = n.to_string();
        changed.version = 2;
        store.update_app(&changed, 1).await
    })
    .await;
    let winner = exactly_one(&results, |error| matches!(error, StorageError::Conflict));
    let stored = stores[1].tenant(&app_scope("shop")).await.unwrap().unwrap().app.unwrap();
    assert_eq!((stored.version, stored.config.app_name), (2, winner.to_string()));
}

pub(super) async fn of_concurrent_replacements_of_one_credential_exactly_one_wins(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    let first = client(org_scope(), 1);
    stores[0].create_org(&org(acme()), &first).await.unwrap();
    let credential = first.credential.clone();
    let results = all_at_once(&stores, 12, |store, n| {
        let seed = 100 + u8::try_from(n).unwrap();
        let rotated = credential.rotated(hash(seed), noon_plus(1_000));
        async move {
            let sealed = sealed_client(org_scope(), seed, noon_plus(1)).sealed;
            store.replace_credential(&NewClient { credential: rotated, sealed }, 1).await
        }
    })
    .await;
    let winner = exactly_one(&results, |error| matches!(error, StorageError::Conflict));
    let client_id = ClientId::of(org_scope());
    let stored = stores[1].credential(&client_id).await.unwrap().unwrap();
    assert_eq!(stored.current, hash(100 + u8::try_from(winner).unwrap()));
    assert_eq!(stored.version, 2);
    for n in 0..12_u8 {
        let taken = stores[0].take_secret(&client_id, &[100 + n; 32], noon()).await.unwrap();
        assert_eq!(matches!(taken, TakenSecret::Taken(_)), usize::from(n) == winner, "only the winner's secret");
    }
}

pub(super) async fn of_concurrent_retrievals_of_one_secret_exactly_one_takes_it(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    stores[0].create_org(&org(acme()), &sealed_client(org_scope(), 1, noon_plus(1))).await.unwrap();
    let taken = all_at_once(&stores, 32, async |store, _| {
        store.take_secret(&ClientId::of(org_scope()), &[1; 32], noon()).await.unwrap()
    })
    .await;
    let count = |wanted: &TakenSecret| taken.iter().filter(|found| *found == wanted).count();
    assert_eq!(count(&TakenSecret::Taken(vec![1, 0, 255])), 1);
    assert_eq!(count(&TakenSecret::AlreadyUsed), 31);
}

pub(super) async fn of_concurrent_first_fallback_states_exactly_one_is_stored(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    race_for_state(&stores, 1).await;
}

pub(super) async fn of_concurrent_later_fallback_states_exactly_one_is_stored(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    for version in 1..=5 {
        race_for_state(&stores, version).await;
    }
}

async fn race_for_state(stores: &[Arc<dyn Storage>; 2], version: u64) {
    let mine = move |n: usize| {
        let mut state = state("economy", version);
        state.model_index = u16::try_from(n).unwrap();
        state
    };
    let swaps = all_at_once(stores, 12, move |store, n| async move {
        store.swap_fallback(&org_scope(), day("2026-01-23"), &mine(n), noon_plus(1_000)).await.unwrap()
    })
    .await;
    let winners: Vec<usize> =
        swaps.iter().enumerate().filter(|(_, swap)| **swap == FallbackSwap::Stored).map(|(n, _)| n).collect();
    assert_eq!(winners.len(), 1, "{swaps:?}");
    let in_force = mine(winners[0]);
    assert_eq!(stores[1].fallback(&org_scope(), day("2026-01-23")).await.unwrap(), Some(in_force.clone()));
    let losers = swaps.iter().filter(|swap| **swap != FallbackSwap::Stored);
    for lost in losers {
        assert_eq!(*lost, FallbackSwap::Lost(Some(in_force.clone())));
    }
}

pub(super) async fn no_app_outlives_an_org_deleted_at_the_same_time(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    for _ in 0..10 {
        stores[0].create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
        let created = all_at_once(&stores, 4, async |store, n| {
            if n == 1 {
                store.delete_org(acme()).await.unwrap();
                return Ok(());
            }
            let name = format!("app{n}");
            store.create_app(&app(acme(), &name), &client(app_scope(&name), 2)).await
        })
        .await;
        assert!(created.iter().all(|result| matches!(result, Ok(()) | Err(StorageError::Conflict))), "{created:?}");
        assert_eq!(stores[1].list_apps(acme(), None, 10).await.unwrap(), []);
        for n in [0, 2, 3] {
            let client_id = ClientId::of(app_scope(&format!("app{n}")));
            assert_eq!(stores[1].credential(&client_id).await.unwrap(), None);
        }
    }
}

pub(super) async fn a_reader_never_sees_half_a_batch(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    // Every batch adds the same to both labels and both applications, so whatever a reader sees is balanced.
    let writer = tokio::spawn({
        let store = Arc::clone(&stores[0]);
        async move {
            for batch in 0..30_u128 {
                let records: Vec<_> = (0..4)
                    .map(|n| usage_of(["shop", "blog"][n % 2], batch * 4 + n as u128, ["premium", "economy"][n / 2]))
                    .collect();
                store.record_usage(&records).await.unwrap();
            }
        }
    });
    let mut seen = HashSet::new();
    loop {
        let done = writer.is_finished();
        for store in &stores {
            let selection = store.selection_state(&org_scope(), day("2026-01-23")).await.unwrap();
            let spends: HashSet<_> =
                selection.totals.values().flat_map(|spend| [spend.day.requests, spend.month.requests]).collect();
            assert!(spends.len() <= 1, "{:?}", selection.totals);
            seen.extend(spends);
            let one = store.label_totals(acme(), &app_id("shop"), &label("premium"), day("2026-01-23")).await.unwrap();
            assert_eq!(one.app.day.requests * 2, one.org.month.requests);
        }
        if done {
            break;
        }
    }
    writer.await.unwrap();
    assert!(seen.contains(&60), "{seen:?}");
}

pub(super) async fn totals_and_fallback_of_a_selection_are_read_together(fresh: FreshStore) {
    let stores = two_instances(&fresh).await;
    let today = day("2026-01-23");
    // The n-th submission is followed by the n-th state, so no moment has a state ahead of the count.
    let writer = tokio::spawn({
        let store = Arc::clone(&stores[0]);
        async move {
            for version in 1..=150 {
                store.record_usage(&[usage("shop", u128::from(version))]).await.unwrap();
                store.swap_fallback(&org_scope(), today, &state("economy", version), noon_plus(1)).await.unwrap();
            }
        }
    });
    loop {
        let done = writer.is_finished();
        for store in &stores {
            let selection = store.selection_state(&org_scope(), today).await.unwrap();
            let count = selection.totals.get(&label("premium")).map_or(0, |spend| spend.day.requests);
            let version = selection.fallback.map_or(0, |state| state.version);
            assert!(count == version || count == version + 1, "state {version} with {count} submissions");
        }
        if done {
            break;
        }
    }
    writer.await.unwrap();
}

/// Starts to record a hundred submissions again and again, and drops the call after ever more steps. Then records them.
async fn after_dropped_calls(store: &dyn Storage) -> Vec<RecordOutcome> {
    let records: Vec<_> = (0..100).map(|n| usage("shop", n)).collect();
    for polls in 1..40 {
        let mut call = store.record_usage(&records);
        for _ in 0..polls {
            if futures::poll!(&mut call).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
    }
    store.record_usage(&records).await.unwrap()
}

pub(super) async fn a_call_dropped_half_way_counts_once_when_repeated(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let outcomes = after_dropped_calls(&*store).await;
    let recorded = |outcome: &_| matches!(outcome, RecordOutcome::Accepted(_) | RecordOutcome::Duplicate(..));
    assert!(outcomes.iter().all(recorded), "{outcomes:?}");
    let total = month_total(&*store, &org_scope(), day("2026-01-23")).await;
    assert_eq!(total.requests, 100);
    assert!(!store.token_state(&ClientId::of(org_scope()), Uuid::nil(), Uuid::nil()).await.unwrap().revoked);
}

pub(super) async fn a_call_dropped_half_way_is_recorded_whole_or_not_at_all(fresh: FreshStore) {
    let outcomes = after_dropped_calls(&*fresh.migrated().await).await;
    let kinds: HashSet<_> = outcomes.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 1, "{outcomes:?}");
}
