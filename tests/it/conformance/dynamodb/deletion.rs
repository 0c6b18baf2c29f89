//! Ending tenants in steps: gone with the first, cleared up by whoever comes next.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{
    Consolidation, Credentials, FallbackSwap, Fallbacks, ProfileCreation, Profiles, StorageError, TakenSecret, Tenants,
    UsageLedger,
};
use uuid::Uuid;

use super::{Room, key, org_pk};
use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, label, noon, noon_plus, org, org_scope, profile, sealed_client, state,
    usage,
};

/// An organization with the applications `shop` and `blog`. Everything that can be deleted with them is there.
async fn furnish(storage: &DynamoDbStorage) {
    storage.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon_plus(1))).await.unwrap();
    for (name, seed) in [("shop", 2), ("blog", 3)] {
        storage.create_app(&app(acme(), name), &sealed_client(app_scope(name), seed, noon_plus(1))).await.unwrap();
        storage.create_profile(&profile(name, "mine", 1), 100).await.unwrap();
    }
    for (scope, on) in [
        (org_scope(), "2026-01-23"),
        (app_scope("shop"), "2026-01-23"),
        (app_scope("shop"), "2025-12-31"),
        (app_scope("blog"), "2026-01-24"),
    ] {
        let swap = storage.swap_fallback(&scope, day(on), &state("economy", 1), noon_plus(1)).await.unwrap();
        assert_eq!(swap, FallbackSwap::Stored);
    }
    storage.record_usage(&[usage("shop", 1), usage("blog", 2)]).await.unwrap();
    storage.consolidate(acme(), day("2026-01-23")).await.unwrap();
}

/// What [`furnish`] left of tenants.
async fn furniture(room: &Room) -> Vec<(String, String)> {
    let mut keys = room.keys(Table::Config).await;
    keys.retain(|(pk, sk)| sk != "SHARDS" && pk != "SCHEMA");
    keys.extend(room.keys(Table::Totals).await.into_iter().filter(|(_, sk)| sk.contains('!')));
    keys
}

/// Asserts that nobody sees anything of the organization or its applications.
async fn assert_org_is_gone(storage: &DynamoDbStorage) {
    assert!(storage.tenant(&org_scope()).await.unwrap().is_none());
    assert!(storage.tenant(&app_scope("shop")).await.unwrap().is_none());
    assert_eq!(storage.list_orgs(None, 10).await.unwrap(), []);
    assert_eq!(storage.list_apps(acme(), None, 10).await.unwrap(), []);
    assert_eq!(storage.profiles(acme(), &app_id("shop")).await.unwrap(), []);
    assert_eq!(storage.common_profiles(acme()).await.unwrap(), BTreeMap::new());
    for (scope, seed) in [(org_scope(), 1), (app_scope("shop"), 2), (app_scope("blog"), 3)] {
        let client_id = ClientId::of(scope);
        assert_eq!(storage.credential(&client_id).await.unwrap(), None);
        assert_eq!(storage.token_state(&client_id, Uuid::nil(), Uuid::nil()).await.unwrap().token_epoch, None);
        assert_eq!(storage.take_secret(&client_id, &[seed; 32], noon()).await.unwrap(), TakenSecret::Unknown);
        assert!(!storage.set_token_epoch(&client_id, Uuid::nil()).await.unwrap());
    }
    let shop = client(app_scope("shop"), 2);
    assert!(matches!(storage.update_org(&org(acme()), 1).await, Err(StorageError::Conflict)));
    assert!(matches!(storage.update_app(&app(acme(), "shop"), 1).await, Err(StorageError::Conflict)));
    assert!(matches!(storage.create_app(&app(acme(), "new"), &shop).await, Err(StorageError::Conflict)));
    assert!(matches!(storage.replace_credential(&shop, 1).await, Err(StorageError::Conflict)));
    assert!(matches!(storage.create_profile(&profile("shop", "other", 1), 100).await, Err(StorageError::Conflict)));
    assert!(!storage.delete_profile(acme(), &app_id("shop"), &label("mine")).await.unwrap());
    assert!(!storage.delete_app(acme(), &app_id("shop")).await.unwrap());
}

#[tokio::test]
async fn an_organization_is_gone_with_the_first_step_of_its_deletion_its_applications_clients_included() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    room.mark_org().await;
    assert_org_is_gone(&storage).await;
}

#[tokio::test]
async fn an_interrupted_deletion_of_an_organization_is_finished_by_the_next_creation() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    room.mark_org().await;
    // Some of the second step was done too.
    room.delete(&org_pk(), "APP#blog").await;
    room.delete(&org_pk(), "PROFILE#shop#mine").await;

    storage.create_org(&org(acme()), &client(org_scope(), 9)).await.unwrap();

    assert_eq!(storage.tenant(&org_scope()).await.unwrap().unwrap().org, org(acme()));
    assert_eq!(storage.list_apps(acme(), None, 10).await.unwrap(), []);
    assert_eq!(storage.common_profiles(acme()).await.unwrap(), BTreeMap::new());
    for name in ["shop", "blog"] {
        storage.create_app(&app(acme(), name), &client(app_scope(name), 8)).await.unwrap();
        assert_eq!(storage.profiles(acme(), &app_id(name)).await.unwrap(), []);
    }
    for (scope, seed) in [(org_scope(), 1), (app_scope("shop"), 2)] {
        let taken = storage.take_secret(&ClientId::of(scope.clone()), &[seed; 32], noon()).await.unwrap();
        assert_eq!(taken, TakenSecret::Unknown);
        assert_eq!(storage.fallback(&scope, day("2026-01-23")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_interrupted_deletion_is_finished_by_the_next_one_which_says_that_there_was_nothing() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    room.mark_org().await;
    assert!(!storage.delete_org(acme()).await.unwrap());
    assert_eq!(furniture(&room).await, []);
}

#[tokio::test]
async fn a_deletion_leaves_usage_totals_and_the_shard_count_and_nothing_else() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    assert!(storage.delete_org(acme()).await.unwrap());
    assert_eq!(furniture(&room).await, []);
    assert!(room.keys(Table::Config).await.contains(&(org_pk(), "SHARDS".to_owned())));
    assert!(!storage.totals(&org_scope(), day("2026-01-23")).await.unwrap().is_empty());
    // The largest number of shards any life had: a smaller one would not find what was counted.
    let mut small = org(acme());
    small.config.agg_shard_count = 8;
    storage.create_org(&small, &client(org_scope(), 1)).await.unwrap();
    let shards = room.shell().get_item().table_name(room.name(Table::Config)).set_key(Some(key(&org_pk(), "SHARDS")));
    let shards = shards.send().await.unwrap().item.unwrap();
    assert_eq!(shards["n"], AttributeValue::N("64".to_owned()));
}

#[tokio::test]
async fn an_application_is_gone_with_the_first_step_of_its_deletion_and_the_next_creation_finishes_it() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    let mut other = profile("shop", "other", 2);
    other.arn = profile("shop", "other", 3).arn;
    storage.create_profile(&other, 100).await.unwrap();
    room.mark_app("shop").await;

    let shop = ClientId::of(app_scope("shop"));
    let tenant = storage.tenant(&app_scope("shop")).await.unwrap().unwrap();
    assert_eq!((tenant.app, tenant.profiles), (None, Vec::new()));
    let apps = storage.list_apps(acme(), None, 1).await.unwrap();
    assert_eq!(apps, [app(acme(), "blog")]);
    assert_eq!(storage.list_apps(acme(), Some(&app_id("blog")), 1).await.unwrap(), []);
    assert_eq!(storage.profiles(acme(), &app_id("shop")).await.unwrap(), []);
    let common = storage.common_profiles(acme()).await.unwrap();
    assert_eq!(common.into_keys().collect::<Vec<_>>(), [label("mine")]);
    assert_eq!(storage.credential(&shop).await.unwrap(), None);
    assert_eq!(storage.take_secret(&shop, &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
    assert!(matches!(storage.update_app(&app(acme(), "shop"), 1).await, Err(StorageError::Conflict)));
    assert!(matches!(storage.create_profile(&profile("shop", "x", 1), 9).await, Err(StorageError::Conflict)));

    storage.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 9)).await.unwrap();
    assert_eq!(storage.profiles(acme(), &app_id("shop")).await.unwrap(), []);
    assert_eq!(storage.take_secret(&shop, &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
    for on in ["2026-01-23", "2025-12-31"] {
        assert_eq!(storage.fallback(&app_scope("shop"), day(on)).await.unwrap(), None);
    }
    storage.create_profile(&profile("shop", "mine", 7), 1).await.unwrap();
    let common = storage.common_profiles(acme()).await.unwrap();
    assert!(common.is_empty(), "a new life counts again: {common:?}");
    assert!(storage.fallback(&app_scope("blog"), day("2026-01-24")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_tenant_with_more_than_a_transaction_takes_is_deleted_whole() {
    let room = Room::new();
    let storage = room.storage().await;
    furnish(&storage).await;
    for n in 0..99 {
        let created = storage.create_profile(&profile("shop", &format!("p{n}"), n), 100).await.unwrap();
        assert_eq!(created, ProfileCreation::Created);
    }
    assert_eq!(storage.create_profile(&profile("shop", "p100", 1), 100).await.unwrap(), ProfileCreation::Full);
    for n in 0..60 {
        let scope = app_scope(&format!("a{n}"));
        let created = sealed_client(scope.clone(), 4, noon_plus(1));
        storage.create_app(&app(acme(), scope.app_id.unwrap().as_str()), &created).await.unwrap();
    }
    assert!(storage.delete_app(acme(), &app_id("shop")).await.unwrap());
    assert!(storage.delete_org(acme()).await.unwrap());
    assert_eq!(furniture(&room).await, []);
}

#[tokio::test]
async fn of_concurrent_deletions_one_says_that_it_was_the_one_and_a_new_life_is_left_alone() {
    let room = Room::new();
    let storage = room.storage().await;
    for life in 1..=3 {
        furnish(&storage).await;
        let deletions = futures::future::join_all((0..4).map(|_| storage.delete_org(acme()))).await;
        let ended = deletions.into_iter().filter(|ended| *ended.as_ref().unwrap()).count();
        assert_eq!(ended, 1, "life {life}");
        assert_eq!(furniture(&room).await, []);
    }
    // Somebody who was about to clear up when the next life began.
    furnish(&storage).await;
    let before = furniture(&room).await;
    assert!(!storage.delete_app(acme(), &app_id("nobody")).await.unwrap());
    assert_eq!(furniture(&room).await, before);
}

#[tokio::test]
async fn the_last_days_of_a_deleted_organization_are_unconsolidated() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    storage.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(storage.delete_org(acme()).await.unwrap());
    let days = storage.unconsolidated(100).await.unwrap();
    assert!(days.contains(&(acme(), usage("shop", 1).day)), "{days:?}");
}
