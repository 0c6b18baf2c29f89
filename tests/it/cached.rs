//! The cache in front of a shared store: own changes are seen at once, those of other instances within its lifetime.

use std::sync::Arc;
use std::time::Duration;

use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::{
    CacheLifetimes, CachedStorage, Consolidation as _, Credentials as _, Fallbacks as _, Revocation, Storage,
    StorageOptions, Tenants as _, TokenState, UsageLedger as _, open,
};
use uuid::Uuid;

use crate::support::samples::{acme, app, app_scope, client, day, label, noon_plus, org, org_scope, state, usage};
use crate::support::stores::{FreshStore, sqlite};

const HOUR: Duration = Duration::from_secs(3600);
const SESSION: Uuid = Uuid::from_u128(1);
const TOKEN: Uuid = Uuid::from_u128(2);

/// An instance that caches, and another one that changes things behind its back.
async fn two_instances(fresh: &FreshStore, lifetime: Duration) -> (CachedStorage, Arc<dyn Storage>) {
    let other = fresh.migrated().await;
    other.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let lifetimes = CacheLifetimes { configuration: lifetime, totals: lifetime };
    (CachedStorage::over(fresh.instance().await, lifetimes), other)
}

async fn version(store: &dyn Storage) -> u64 {
    store.tenant(&org_scope()).await.unwrap().unwrap().org.version
}

async fn token(store: &dyn Storage) -> TokenState {
    store.token_state(&ClientId::of(org_scope()), SESSION, TOKEN).await.unwrap()
}

async fn requests(store: &dyn Storage) -> u64 {
    let selection = store.selection_state(&org_scope(), day("2026-01-23")).await.unwrap();
    selection.totals.get(&label("premium")).map_or(0, |spend| spend.day.requests)
}

async fn fallback_version(store: &dyn Storage) -> u64 {
    let selection = store.selection_state(&org_scope(), day("2026-01-23")).await.unwrap();
    selection.fallback.map_or(0, |state| state.version)
}

#[tokio::test]
async fn own_changes_are_seen_at_once() {
    let fresh = sqlite().await;
    let (store, _) = two_instances(&fresh, HOUR).await;
    let client_id = ClientId::of(org_scope());

    assert_eq!(version(&store).await, 1);
    let mut changed = org(acme());
    changed.version = 2;
    store.update_org(&changed, 1).await.unwrap();
    assert_eq!(version(&store).await, 2);

    assert!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app.is_none());
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    assert!(store.tenant(&app_scope("shop")).await.unwrap().unwrap().app.is_some());

    let before = token(&store).await;
    assert!(!before.revoked);
    store.set_token_epoch(&client_id, Uuid::from_u128(99)).await.unwrap();
    assert_eq!(token(&store).await.token_epoch, Some(Uuid::from_u128(99)));
    store.revoke(Revocation::Session(SESSION), noon_plus(1)).await.unwrap();
    assert!(token(&store).await.revoked);

    for n in 1..=3 {
        store.record_usage(&[usage("shop", u128::from(n))]).await.unwrap();
        assert_eq!(requests(&store).await, n);
        store.swap_fallback(&org_scope(), day("2026-01-23"), &state("economy", n), noon_plus(1)).await.unwrap();
        assert_eq!(fallback_version(&store).await, n);
    }
    store.clear_fallback(&org_scope(), day("2026-01-23")).await.unwrap();
    assert_eq!(fallback_version(&store).await, 0);

    store.delete_org(acme()).await.unwrap();
    assert!(store.tenant(&org_scope()).await.unwrap().is_none());
    assert_eq!(token(&store).await.token_epoch, None);
}

#[tokio::test]
async fn changes_by_others_are_unseen_for_no_longer_than_the_lifetime() {
    let fresh = sqlite().await;
    let (long, other) = two_instances(&fresh, HOUR).await;
    let brief = CacheLifetimes { configuration: Duration::from_millis(20), totals: Duration::from_millis(20) };
    let short = CachedStorage::over(fresh.instance().await, brief);
    for store in [&long, &short] {
        assert_eq!((version(store).await, requests(store).await, token(store).await.revoked), (1, 0, false));
    }
    let mut changed = org(acme());
    changed.version = 2;
    other.update_org(&changed, 1).await.unwrap();
    other.record_usage(&[usage("shop", 1)]).await.unwrap();
    other.revoke(Revocation::Token(TOKEN), noon_plus(1)).await.unwrap();

    assert_eq!((version(&long).await, requests(&long).await, token(&long).await.revoked), (1, 0, false), "kept");
    let seen = async {
        while (version(&short).await, requests(&short).await, token(&short).await.revoked) != (2, 1, true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("seen within the lifetime");
}

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn after_adding_up_totals_are_read_anew_also_where_another_instance_had_added_up() {
    let fresh = crate::support::stores::dynamodb().await;
    fresh.migrated().await.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    // Opened as the binary does: the instances of the suite add up by themselves.
    let open = || async { open::open(fresh.url(), &StorageOptions::default()).await.unwrap() };
    let store = CachedStorage::over(open().await, CacheLifetimes { configuration: HOUR, totals: HOUR });
    let other = open().await;
    assert_eq!(requests(&store).await, 0);
    other.record_usage(&[usage("shop", 1)]).await.unwrap();
    assert!(other.consolidate(acme(), day("2026-01-23")).await.unwrap());
    assert_eq!(requests(&store).await, 0, "kept");
    assert!(!store.consolidate(acme(), day("2026-01-23")).await.unwrap(), "nothing is left to add up");
    assert_eq!(requests(&store).await, 1);
}
