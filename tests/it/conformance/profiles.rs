//! Inference profiles of applications.

use std::collections::BTreeMap;
use std::sync::Arc;

use bedrock_cost_keeper::domain::profile::InferenceProfile;
use bedrock_cost_keeper::storage::{ProfileCreation, Storage, StorageError};

use crate::support::samples::{acme, app, app_id, app_scope, client, label, org, org_id, org_scope, profile};
use crate::support::stores::FreshStore;

const MAX: u32 = 100;

/// A store with the applications `shop` and `blog`.
async fn store(fresh: &FreshStore) -> Arc<dyn Storage> {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    for (name, seed) in [("shop", 2), ("blog", 3)] {
        store.create_app(&app(acme(), name), &client(app_scope(name), seed)).await.unwrap();
    }
    store
}

async fn create(store: &dyn Storage, profile: &InferenceProfile) {
    assert_eq!(store.create_profile(profile, MAX).await.unwrap(), ProfileCreation::Created);
}

async fn labels(store: &dyn Storage, app: &str) -> Vec<String> {
    let profiles = store.profiles(acme(), &app_id(app)).await.unwrap();
    profiles.into_iter().map(|profile| profile.profile_label.to_string()).collect()
}

pub(super) async fn every_field_of_a_profile_survives_a_round_trip(fresh: FreshStore) {
    let store = store(&fresh).await;
    let plain = InferenceProfile { description: String::new(), ..profile("shop", "b", 2) };
    for profile in [profile("shop", "a", 1), plain.clone()] {
        create(&*store, &profile).await;
    }
    assert_eq!(store.profiles(acme(), &app_id("shop")).await.unwrap(), [profile("shop", "a", 1), plain]);
}

pub(super) async fn profiles_of_an_application_are_in_order_of_label_and_nobody_elses(fresh: FreshStore) {
    let store = store(&fresh).await;
    for (app, label) in [("shop", "b"), ("shop", "a-b"), ("shop", "a_b"), ("shop", "a"), ("blog", "c")] {
        create(&*store, &profile(app, label, 1)).await;
    }
    assert_eq!(labels(&*store, "shop").await, ["a", "a-b", "a_b", "b"]);
    assert_eq!(labels(&*store, "blog").await, ["c"]);
    assert!(labels(&*store, "nobody").await.is_empty());
}

pub(super) async fn a_label_registered_again_is_refused_and_changes_nothing(fresh: FreshStore) {
    let store = store(&fresh).await;
    create(&*store, &profile("shop", "a", 1)).await;
    for again in [profile("shop", "a", 1), profile("shop", "a", 2)] {
        assert!(matches!(store.create_profile(&again, MAX).await, Err(StorageError::AlreadyExists)));
        // Also where there is no room for another.
        assert!(matches!(store.create_profile(&again, 1).await, Err(StorageError::AlreadyExists)));
    }
    assert_eq!(store.profiles(acme(), &app_id("shop")).await.unwrap(), [profile("shop", "a", 1)]);
    create(&*store, &profile("blog", "a", 2)).await;
}

pub(super) async fn a_profile_of_no_application_conflicts(fresh: FreshStore) {
    let store = store(&fresh).await;
    assert!(matches!(store.create_profile(&profile("nobody", "a", 1), MAX).await, Err(StorageError::Conflict)));
    assert!(labels(&*store, "nobody").await.is_empty());
}

pub(super) async fn a_full_application_takes_no_more_profiles(fresh: FreshStore) {
    let store = store(&fresh).await;
    for (label, n) in [("a", 1), ("b", 2)] {
        create(&*store, &profile("shop", label, n)).await;
    }
    assert_eq!(store.create_profile(&profile("shop", "c", 3), 2).await.unwrap(), ProfileCreation::Full);
    assert_eq!(labels(&*store, "shop").await, ["a", "b"]);
    assert_eq!(store.create_profile(&profile("blog", "c", 3), 2).await.unwrap(), ProfileCreation::Created);
}

pub(super) async fn a_deleted_profile_is_gone_and_its_label_free(fresh: FreshStore) {
    let store = store(&fresh).await;
    create(&*store, &profile("shop", "a", 1)).await;
    create(&*store, &profile("blog", "a", 1)).await;
    assert!(!store.delete_profile(acme(), &app_id("shop"), &label("b")).await.unwrap());
    assert!(!store.delete_profile(acme(), &app_id("nobody"), &label("a")).await.unwrap());
    assert!(store.delete_profile(acme(), &app_id("shop"), &label("a")).await.unwrap());
    assert!(!store.delete_profile(acme(), &app_id("shop"), &label("a")).await.unwrap());
    assert_eq!(labels(&*store, "blog").await, ["a"]);
    create(&*store, &profile("shop", "a", 2)).await;
}

pub(super) async fn an_application_and_an_organization_end_their_profiles(fresh: FreshStore) {
    let store = store(&fresh).await;
    create(&*store, &profile("shop", "a", 1)).await;
    create(&*store, &profile("blog", "a", 1)).await;
    store.delete_app(acme(), &app_id("shop")).await.unwrap();
    assert!(labels(&*store, "shop").await.is_empty());
    assert_eq!(labels(&*store, "blog").await, ["a"]);
    // A new life has none of the old one.
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 4)).await.unwrap();
    assert!(labels(&*store, "shop").await.is_empty());
    store.delete_org(acme()).await.unwrap();
    assert!(labels(&*store, "blog").await.is_empty());
}

pub(super) async fn a_tenant_is_read_with_its_profiles(fresh: FreshStore) {
    let store = store(&fresh).await;
    create(&*store, &profile("shop", "b", 2)).await;
    create(&*store, &profile("shop", "a", 1)).await;
    let read = async |scope| store.tenant(&scope).await.unwrap().unwrap().profiles;
    assert_eq!(read(app_scope("shop")).await, [profile("shop", "a", 1), profile("shop", "b", 2)]);
    for scope in [app_scope("blog"), app_scope("nobody"), org_scope()] {
        assert!(read(scope).await.is_empty());
    }
}

pub(super) async fn a_common_profile_is_what_every_application_means(fresh: FreshStore) {
    let store = store(&fresh).await;
    let common = async || store.common_profiles(acme()).await.unwrap();
    assert!(common().await.is_empty());
    create(&*store, &profile("shop", "a", 1)).await;
    create(&*store, &profile("blog", "b", 2)).await;
    let expected =
        BTreeMap::from([(label("a"), profile("shop", "a", 1).arn), (label("b"), profile("blog", "b", 2).arn)]);
    assert_eq!(common().await, expected);
    create(&*store, &profile("blog", "a", 1)).await;
    assert_eq!(common().await, expected);
    store.delete_profile(acme(), &app_id("blog"), &label("a")).await.unwrap();
    create(&*store, &profile("blog", "a", 3)).await;
    assert_eq!(common().await.into_keys().collect::<Vec<_>>(), [label("b")]);
    assert!(store.common_profiles(org_id(9)).await.unwrap().is_empty());
}

pub(super) async fn of_concurrent_registrations_exactly_one_succeeds_and_no_number_exceeds_the_most(fresh: FreshStore) {
    let stores = [store(&fresh).await, fresh.instance().await];
    let attempts: Vec<_> = (0..20_u32)
        .map(|n| {
            let store = Arc::clone(&stores[n as usize % 2]);
            // Every label twice.
            let profile = profile("shop", &format!("p{}", n / 2), n);
            tokio::spawn(async move { store.create_profile(&profile, 5).await })
        })
        .collect();
    let (mut created, mut refused) = (0, 0);
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(ProfileCreation::Created) => created += 1,
            Ok(ProfileCreation::Full) | Err(StorageError::AlreadyExists) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((created, refused), (5, 15));
    assert_eq!(labels(&*stores[1], "shop").await.len(), 5);
}
