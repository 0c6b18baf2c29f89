//! Organizations and applications.

use bedrock_cost_keeper::domain::ids::{AppId, ClientId, OrgId, Scope};
use bedrock_cost_keeper::domain::tenant::QuotaScope;
use bedrock_cost_keeper::storage::{FallbackSwap, RecordOutcome, Storage, StorageError, TakenSecret};

use crate::support::samples::{
    acme, app, app_id, app_scope, at, client, day, epoch, label, noon, noon_plus, org, org_id, org_scope, request_id,
    sealed_client, state, usage,
};
use crate::support::stores::FreshStore;

const NEXT_DAY: &str = "2026-01-25T00:00:00Z";

async fn store_state(store: &dyn Storage, scope: &Scope) {
    let swap = store.swap_fallback(scope, day("2026-01-23"), &state("standard", 1), at(NEXT_DAY)).await.unwrap();
    assert_eq!(swap, FallbackSwap::Stored);
}

pub(super) async fn an_org_survives_a_round_trip_and_its_client_is_stored_with_it(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let client = client(org_scope(), 1);
    store.create_org(&org(acme()), &client).await.unwrap();
    assert_eq!(store.tenant(&org_scope()).await.unwrap().unwrap().org, org(acme()));
    assert_eq!(store.credential(&client.credential.client_id).await.unwrap(), Some(client.credential));
}

pub(super) async fn creating_a_registered_org_is_refused_and_changes_nothing_credential_included(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let first = client(org_scope(), 1);
    store.create_org(&org(acme()), &first).await.unwrap();
    let mut other = org(acme());
    other.config.org_name = "Other".to_owned();
    let second = sealed_client(org_scope(), 2, noon_plus(1_000));
    assert!(matches!(store.create_org(&other, &second).await, Err(StorageError::AlreadyExists)));
    assert_eq!(store.tenant(&org_scope()).await.unwrap().unwrap().org, org(acme()));
    let client_id = &first.credential.client_id;
    assert_eq!(store.credential(client_id).await.unwrap(), Some(first.credential.clone()));
    assert_eq!(store.take_secret(client_id, &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
}

pub(super) async fn update_org_replaces_the_configuration_at_the_expected_version_and_credentials_stay(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    let client = client(org_scope(), 1);
    store.create_org(&org(acme()), &client).await.unwrap();
    let mut changed = org(acme());
    changed.config.quota_scope = QuotaScope::Org;
    changed.config.quotas.remove(&label("economy"));
    changed.version = 2;
    changed.updated_at = noon_plus(5_000);
    store.update_org(&changed, 1).await.unwrap();
    assert_eq!(store.tenant(&org_scope()).await.unwrap().unwrap().org, changed);
    assert_eq!(store.credential(&client.credential.client_id).await.unwrap(), Some(client.credential));
}

pub(super) async fn update_org_conflicts_at_another_version_and_where_the_org_is_gone(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut changed = org(acme());
    changed.version = 2;
    assert!(matches!(store.update_org(&changed, 1).await, Err(StorageError::Conflict)));
    assert!(store.tenant(&org_scope()).await.unwrap().is_none());
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    for expected in [0, 2, u64::MAX] {
        assert!(matches!(store.update_org(&changed, expected).await, Err(StorageError::Conflict)), "{expected}");
    }
    assert_eq!(store.tenant(&org_scope()).await.unwrap().unwrap().org, org(acme()));
}

pub(super) async fn delete_org_ends_its_apps_clients_sealed_secrets_and_fallback_states(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let neighbour = Scope::org(org_id(9));
    store.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon_plus(1))).await.unwrap();
    store.create_org(&org(org_id(9)), &sealed_client(neighbour.clone(), 2, noon_plus(1))).await.unwrap();
    store.create_app(&app(acme(), "shop"), &sealed_client(app_scope("shop"), 3, noon_plus(1))).await.unwrap();
    for scope in [org_scope(), app_scope("shop"), neighbour.clone()] {
        store_state(&*store, &scope).await;
    }

    assert!(store.delete_org(acme()).await.unwrap());

    assert!(store.tenant(&app_scope("shop")).await.unwrap().is_none());
    assert_eq!(store.list_apps(acme(), None, 10).await.unwrap(), []);
    for (scope, seed) in [(org_scope(), 1), (app_scope("shop"), 3)] {
        let client_id = ClientId::of(scope.clone());
        assert_eq!(store.credential(&client_id).await.unwrap(), None);
        assert_eq!(store.take_secret(&client_id, &[seed; 32], noon()).await.unwrap(), TakenSecret::Unknown);
        assert_eq!(store.fallback(&scope, day("2026-01-23")).await.unwrap(), None);
    }
    let neighbour_client = ClientId::of(neighbour.clone());
    assert!(store.tenant(&neighbour).await.unwrap().is_some());
    assert!(store.credential(&neighbour_client).await.unwrap().is_some());
    assert!(matches!(store.take_secret(&neighbour_client, &[2; 32], noon()).await.unwrap(), TakenSecret::Taken(_)));
    assert!(store.fallback(&neighbour, day("2026-01-23")).await.unwrap().is_some());
}

pub(super) async fn deleting_no_org_answers_false(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(!store.delete_org(acme()).await.unwrap());
    assert!(!store.delete_app(acme(), &app_id("shop")).await.unwrap());
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    assert!(!store.delete_app(acme(), &app_id("shop")).await.unwrap());
    assert!(store.delete_org(acme()).await.unwrap());
    assert!(!store.delete_org(acme()).await.unwrap());
}

pub(super) async fn delete_org_keeps_usage_totals_and_dedup_keys(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(store.delete_org(acme()).await.unwrap());
    usage_is_kept(&*store).await;
}

pub(super) async fn delete_app_keeps_usage_totals_and_dedup_keys(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(store.delete_app(acme(), &app_id("shop")).await.unwrap());
    usage_is_kept(&*store).await;
}

async fn usage_is_kept(store: &dyn Storage) {
    assert_eq!(store.usage(acme(), &app_id("shop"), request_id(1)).await.unwrap(), Some(usage("shop", 1)));
    for scope in [org_scope(), app_scope("shop")] {
        let totals = store.totals(&scope, day("2026-01-23")).await.unwrap();
        assert_eq!(totals[&label("premium")].day, usage("shop", 1).counters());
    }
    let again = store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(matches!(&again[..], [RecordOutcome::Duplicate(..)]), "{again:?}");
}

pub(super) async fn list_orgs_pages_in_ascending_order_of_id(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut ids: Vec<OrgId> = [5, 1, u128::MAX, 1 << 127, 300, 0x7f << 120].into_iter().map(org_id).collect();
    for id in &ids {
        store.create_org(&org(*id), &client(Scope::org(*id), 1)).await.unwrap();
    }
    ids.sort();
    for limit in [1, 2, 6, 100] {
        let mut seen = Vec::new();
        loop {
            let page = store.list_orgs(seen.last().copied(), limit).await.unwrap();
            assert!(page.len() <= usize::try_from(limit).unwrap());
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|org| org.org_id));
            assert!(seen.len() <= ids.len(), "a page repeats something: {seen:?}");
        }
        assert_eq!(seen, ids, "pages of {limit}");
    }
    assert_eq!(store.list_orgs(None, 1).await.unwrap(), [org(ids[0])]);
    assert_eq!(store.list_orgs(None, 0).await.unwrap(), []);
}

pub(super) async fn an_app_survives_a_round_trip_and_its_client_is_stored_with_it(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let client = client(app_scope("Shop.1_x-y"), 2);
    let app = app(acme(), "Shop.1_x-y");
    store.create_app(&app, &client).await.unwrap();
    assert_eq!(store.tenant(&app_scope("Shop.1_x-y")).await.unwrap().unwrap().app, Some(app));
    assert_eq!(store.credential(&client.credential.client_id).await.unwrap(), Some(client.credential));
    assert!(store.credential(&ClientId::of(org_scope())).await.unwrap().is_some());
}

pub(super) async fn creating_a_registered_app_is_refused_and_changes_nothing_credential_included(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let first = client(app_scope("shop"), 2);
    store.create_app(&app(acme(), "shop"), &first).await.unwrap();
    let mut other = app(acme(), "shop");
    other.config.app_name = "Other".to_owned();
    let second = sealed_client(app_scope("shop"), 3, noon_plus(1_000));
    assert!(matches!(store.create_app(&other, &second).await, Err(StorageError::AlreadyExists)));
    assert_eq!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app, Some(app(acme(), "shop")));
    let client_id = &first.credential.client_id;
    assert_eq!(store.credential(client_id).await.unwrap(), Some(first.credential.clone()));
    assert_eq!(store.take_secret(client_id, &[3; 32], noon()).await.unwrap(), TakenSecret::Unknown);
}

pub(super) async fn creating_an_app_of_no_org_conflicts_and_stores_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let client = sealed_client(app_scope("shop"), 2, noon_plus(1_000));
    assert!(matches!(store.create_app(&app(acme(), "shop"), &client).await, Err(StorageError::Conflict)));
    assert_eq!(store.list_apps(acme(), None, 10).await.unwrap(), []);
    let client_id = ClientId::of(app_scope("shop"));
    assert_eq!(store.credential(&client_id).await.unwrap(), None);
    assert_eq!(store.take_secret(&client_id, &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
}

pub(super) async fn update_app_replaces_the_configuration_at_the_expected_version_and_credentials_stay(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let client = client(app_scope("shop"), 2);
    store.create_app(&app(acme(), "shop"), &client).await.unwrap();
    let mut changed = app(acme(), "shop");
    changed.config.model_ordering = None;
    changed.config.monthly_quotas = changed.config.quotas.take();
    changed.version = 2;
    changed.updated_at = noon_plus(5_000);
    store.update_app(&changed, 1).await.unwrap();
    assert_eq!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app, Some(changed));
    assert_eq!(store.credential(&client.credential.client_id).await.unwrap(), Some(client.credential));
}

pub(super) async fn update_app_conflicts_at_another_version_and_where_the_app_is_gone(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let mut changed = app(acme(), "shop");
    changed.version = 2;
    assert!(matches!(store.update_app(&changed, 1).await, Err(StorageError::Conflict)));
    assert_eq!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app, None);
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    for expected in [0, 2, u64::MAX] {
        assert!(matches!(store.update_app(&changed, expected).await, Err(StorageError::Conflict)), "{expected}");
    }
    assert_eq!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app, Some(app(acme(), "shop")));
}

pub(super) async fn delete_app_ends_its_client_sealed_secrets_and_fallback_states_and_nobody_elses(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    for (name, seed) in [("shop", 2), ("shop2", 3)] {
        let client = sealed_client(app_scope(name), seed, noon_plus(1));
        store.create_app(&app(acme(), name), &client).await.unwrap();
    }
    for scope in [org_scope(), app_scope("shop"), app_scope("shop2")] {
        store_state(&*store, &scope).await;
    }

    assert!(store.delete_app(acme(), &app_id("shop")).await.unwrap());

    let gone = ClientId::of(app_scope("shop"));
    assert_eq!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app, None);
    assert_eq!(store.credential(&gone).await.unwrap(), None);
    assert_eq!(store.take_secret(&gone, &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
    assert_eq!(store.fallback(&app_scope("shop"), day("2026-01-23")).await.unwrap(), None);

    let left = ClientId::of(app_scope("shop2"));
    assert!(store.tenant(&app_scope("shop2")).await.unwrap().unwrap().app.is_some());
    assert!(store.credential(&left).await.unwrap().is_some());
    assert!(store.credential(&ClientId::of(org_scope())).await.unwrap().is_some());
    assert!(matches!(store.take_secret(&left, &[3; 32], noon()).await.unwrap(), TakenSecret::Taken(_)));
    for scope in [org_scope(), app_scope("shop2")] {
        assert!(store.fallback(&scope, day("2026-01-23")).await.unwrap().is_some());
    }
}

pub(super) async fn list_apps_pages_in_ascending_byte_order_inside_one_org(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.create_org(&org(org_id(9)), &client(Scope::org(org_id(9)), 1)).await.unwrap();
    store.create_app(&app(org_id(9), "other"), &client(Scope::app(org_id(9), app_id("other")), 1)).await.unwrap();
    // In byte order: '-' < '.' < digits < upper case < '_' < lower case, and a prefix comes first.
    let expected = ["0", "A", "Z", "a", "a-b", "a.b", "a0", "aB", "a_b", "ab"].map(app_id);
    for id in expected.iter().rev() {
        store.create_app(&app(acme(), id.as_str()), &client(app_scope(id.as_str()), 1)).await.unwrap();
    }
    for limit in [1, 3, 10, 100] {
        let mut seen: Vec<AppId> = Vec::new();
        loop {
            let page = store.list_apps(acme(), seen.last(), limit).await.unwrap();
            assert!(page.len() <= usize::try_from(limit).unwrap());
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|app| app.app_id));
            assert!(seen.len() <= expected.len(), "a page repeats something: {seen:?}");
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

pub(super) async fn tenant_reads_the_org_and_where_asked_for_its_app(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(store.tenant(&app_scope("shop")).await.unwrap().is_none());
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let without = store.tenant(&app_scope("shop")).await.unwrap().unwrap();
    assert_eq!((without.org, without.app), (org(acme()), None));
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    let both = store.tenant(&app_scope("shop")).await.unwrap().unwrap();
    assert_eq!((both.org, both.app), (org(acme()), Some(app(acme(), "shop"))));
    assert_eq!(store.tenant(&org_scope()).await.unwrap().unwrap().app, None);
    // Application ids are case-sensitive.
    assert_eq!(store.tenant(&app_scope("Shop")).await.unwrap().unwrap().app, None);
}

pub(super) async fn a_tenant_created_again_has_a_new_life_in_which_old_tokens_and_secrets_stay_dead(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let (org_client, app_client) = (ClientId::of(org_scope()), ClientId::of(app_scope("shop")));
    for life in [1, 2] {
        store.create_org(&org(acme()), &sealed_client(org_scope(), life, noon_plus(1))).await.unwrap();
        store
            .create_app(&app(acme(), "shop"), &sealed_client(app_scope("shop"), 10 + life, noon_plus(1)))
            .await
            .unwrap();
        let epoch_of =
            async |client: &ClientId| store.token_state(client, epoch(90), epoch(91)).await.unwrap().token_epoch;
        assert_eq!(epoch_of(&org_client).await, Some(epoch(life)));
        assert_eq!(epoch_of(&app_client).await, Some(epoch(10 + life)));
        if life == 1 {
            store.record_usage(&[usage("shop", 1)]).await.unwrap();
            store_state(&*store, &app_scope("shop")).await;
            store.delete_org(acme()).await.unwrap();
            assert_eq!(epoch_of(&app_client).await, None);
        }
    }
    assert_eq!(store.take_secret(&org_client, &[1; 32], noon()).await.unwrap(), TakenSecret::Unknown);
    assert_eq!(store.take_secret(&app_client, &[11; 32], noon()).await.unwrap(), TakenSecret::Unknown);
    assert_eq!(store.fallback(&app_scope("shop"), day("2026-01-23")).await.unwrap(), None);
    let again = store.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(matches!(&again[..], [RecordOutcome::Duplicate(..)]), "usage counts once across lives: {again:?}");
}
