//! Client credentials, one-time secrets and revocations.

use bedrock_cost_keeper::domain::ids::{ClientId, Scope};
use bedrock_cost_keeper::storage::{NewClient, Revocation, Storage, StorageError, TakenSecret};
use uuid::Uuid;

use crate::support::samples::{
    acme, app, app_scope, client, epoch, hash, noon, noon_plus, org, org_id, org_scope, previous, sealed_client,
};
use crate::support::stores::FreshStore;

const SESSION: Uuid = Uuid::from_u128(0x5e55);
const TOKEN: Uuid = Uuid::from_u128(0x7043);

fn acme_client() -> ClientId {
    ClientId::of(org_scope())
}

async fn with_secret(store: &dyn Storage) {
    store.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon())).await.unwrap();
}

pub(super) async fn a_credential_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(store.credential(&acme_client()).await.unwrap(), None);
    let mut client = client(org_scope(), 1);
    client.credential.previous = Some(previous(7));
    client.credential.version = 42;
    store.create_org(&org(acme()), &client).await.unwrap();
    assert_eq!(store.credential(&acme_client()).await.unwrap(), Some(client.credential));
    assert_eq!(store.credential(&ClientId::of(app_scope("shop"))).await.unwrap(), None);
}

pub(super) async fn replace_credential_replaces_at_the_expected_version_and_stores_the_sealed_secret_with_it(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    let first = sealed_client(org_scope(), 1, noon_plus(1));
    store.create_org(&org(acme()), &first).await.unwrap();
    let rotated = first.credential.rotated(hash(2), noon_plus(86_400_000));
    let sealed = sealed_client(org_scope(), 2, noon_plus(1)).sealed;
    store.replace_credential(&NewClient { credential: rotated.clone(), sealed }, 1).await.unwrap();
    assert_eq!(store.credential(&acme_client()).await.unwrap(), Some(rotated.clone()));
    assert_eq!(store.take_secret(&acme_client(), &[2; 32], noon()).await.unwrap(), TakenSecret::Taken(vec![2, 0, 255]));
    // Back to no earlier secret, and none to retrieve.
    let mut plain = rotated;
    plain.previous = None;
    plain.version = 3;
    store.replace_credential(&NewClient { credential: plain.clone(), sealed: None }, 2).await.unwrap();
    assert_eq!(store.credential(&acme_client()).await.unwrap(), Some(plain));
}

pub(super) async fn replace_credential_conflicts_at_another_version_or_without_client_and_changes_nothing(
    fresh: FreshStore,
) {
    let store = fresh.migrated().await;
    let mut next = sealed_client(org_scope(), 2, noon_plus(1));
    next.credential.version = 2;
    assert!(matches!(store.replace_credential(&next, 1).await, Err(StorageError::Conflict)));
    assert_eq!(store.credential(&acme_client()).await.unwrap(), None);
    let first = client(org_scope(), 1);
    store.create_org(&org(acme()), &first).await.unwrap();
    for expected in [0, 2, u64::MAX] {
        assert!(matches!(store.replace_credential(&next, expected).await, Err(StorageError::Conflict)), "{expected}");
    }
    assert_eq!(store.credential(&acme_client()).await.unwrap(), Some(first.credential));
    assert_eq!(store.take_secret(&acme_client(), &[2; 32], noon()).await.unwrap(), TakenSecret::Unknown);
}

pub(super) async fn set_token_epoch_gives_a_new_epoch_and_the_version_grows_by_one(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let mut client = client(org_scope(), 1);
    client.credential.previous = Some(previous(7));
    store.create_org(&org(acme()), &client).await.unwrap();
    assert!(store.set_token_epoch(&acme_client(), epoch(9)).await.unwrap());
    client.credential.token_epoch = epoch(9);
    client.credential.version = 2;
    assert_eq!(store.credential(&acme_client()).await.unwrap(), Some(client.credential.clone()));
    assert_eq!(store.token_state(&acme_client(), SESSION, TOKEN).await.unwrap().token_epoch, Some(epoch(9)));
    // So a rotation that read the credential before sees the change.
    assert!(matches!(store.replace_credential(&client, 1).await, Err(StorageError::Conflict)));
}

pub(super) async fn set_token_epoch_answers_false_where_the_client_is_gone(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(!store.set_token_epoch(&acme_client(), epoch(9)).await.unwrap());
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.delete_org(acme()).await.unwrap();
    assert!(!store.set_token_epoch(&acme_client(), epoch(9)).await.unwrap());
    assert_eq!(store.credential(&acme_client()).await.unwrap(), None);
}

pub(super) async fn a_sealed_secret_is_taken_once(fresh: FreshStore) {
    let store = fresh.migrated().await;
    with_secret(&*store).await;
    let take = async || store.take_secret(&acme_client(), &[1; 32], noon_plus(-1)).await.unwrap();
    assert_eq!(take().await, TakenSecret::Taken(vec![1, 0, 255]));
    assert_eq!(take().await, TakenSecret::AlreadyUsed);
    assert_eq!(take().await, TakenSecret::AlreadyUsed);
}

pub(super) async fn a_sealed_secret_is_unknown_to_another_client_and_that_uses_nothing_up(fresh: FreshStore) {
    let store = fresh.migrated().await;
    with_secret(&*store).await;
    let neighbour = Scope::org(org_id(9));
    store.create_org(&org(org_id(9)), &client(neighbour.clone(), 2)).await.unwrap();
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 3)).await.unwrap();
    for other in [neighbour, app_scope("shop"), Scope::org(org_id(77))] {
        let taken = store.take_secret(&ClientId::of(other), &[1; 32], noon_plus(-1)).await.unwrap();
        assert_eq!(taken, TakenSecret::Unknown);
    }
    let taken = store.take_secret(&acme_client(), &[1; 32], noon_plus(-1)).await.unwrap();
    assert_eq!(taken, TakenSecret::Taken(vec![1, 0, 255]));
}

pub(super) async fn a_sealed_secret_is_gone_at_its_expiry_and_asking_then_uses_nothing_up(fresh: FreshStore) {
    let store = fresh.migrated().await;
    with_secret(&*store).await;
    for late in [noon(), noon_plus(1)] {
        assert_eq!(store.take_secret(&acme_client(), &[1; 32], late).await.unwrap(), TakenSecret::Unknown);
    }
    let taken = store.take_secret(&acme_client(), &[1; 32], noon_plus(-1)).await.unwrap();
    assert_eq!(taken, TakenSecret::Taken(vec![1, 0, 255]));
}

pub(super) async fn a_taken_secret_is_unknown_after_its_expiry(fresh: FreshStore) {
    let store = fresh.migrated().await;
    with_secret(&*store).await;
    store.take_secret(&acme_client(), &[1; 32], noon_plus(-1)).await.unwrap();
    assert_eq!(store.take_secret(&acme_client(), &[1; 32], noon()).await.unwrap(), TakenSecret::Unknown);
}

pub(super) async fn a_wrong_token_is_unknown(fresh: FreshStore) {
    let store = fresh.migrated().await;
    with_secret(&*store).await;
    let taken = store.take_secret(&acme_client(), &[2; 32], noon_plus(-1)).await.unwrap();
    assert_eq!(taken, TakenSecret::Unknown);
}

async fn revoked(store: &dyn Storage, session: Uuid, token: Uuid) -> bool {
    store.token_state(&acme_client(), session, token).await.unwrap().revoked
}

pub(super) async fn revoking_a_token_ends_that_token_only(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert!(!revoked(&*store, SESSION, TOKEN).await);
    store.revoke(Revocation::Token(TOKEN), noon()).await.unwrap();
    assert!(revoked(&*store, SESSION, TOKEN).await);
    assert!(!revoked(&*store, SESSION, Uuid::from_u128(1)).await);
}

pub(super) async fn revoking_a_session_ends_every_token_issued_from_it(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.revoke(Revocation::Session(SESSION), noon()).await.unwrap();
    for token in [TOKEN, Uuid::from_u128(1), Uuid::nil()] {
        assert!(revoked(&*store, SESSION, token).await);
    }
    assert!(!revoked(&*store, Uuid::from_u128(2), TOKEN).await);
}

pub(super) async fn a_token_and_a_session_of_the_same_id_are_revoked_separately(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.revoke(Revocation::Token(SESSION), noon()).await.unwrap();
    assert!(!revoked(&*store, SESSION, TOKEN).await);
    store.revoke(Revocation::Session(TOKEN), noon()).await.unwrap();
    assert!(!revoked(&*store, SESSION, TOKEN).await);
}

pub(super) async fn repeating_a_revocation_changes_nothing(fresh: FreshStore) {
    let store = fresh.migrated().await;
    for _ in 0..3 {
        store.revoke(Revocation::Token(TOKEN), noon()).await.unwrap();
        store.revoke(Revocation::Session(SESSION), noon()).await.unwrap();
        assert!(revoked(&*store, SESSION, Uuid::from_u128(1)).await);
        assert!(revoked(&*store, Uuid::from_u128(2), TOKEN).await);
    }
}

pub(super) async fn a_revocation_is_seen_by_other_instances(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let other = fresh.instance().await;
    assert!(!revoked(&*other, SESSION, TOKEN).await);
    store.revoke(Revocation::Session(SESSION), noon()).await.unwrap();
    assert!(revoked(&*other, SESSION, TOKEN).await);
}

pub(super) async fn token_state_has_the_current_epoch_and_none_where_the_client_is_gone(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let epoch_of =
        async |scope: Scope| store.token_state(&ClientId::of(scope), SESSION, TOKEN).await.unwrap().token_epoch;
    assert_eq!(epoch_of(org_scope()).await, None);
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    assert_eq!(epoch_of(org_scope()).await, Some(epoch(1)));
    assert_eq!(epoch_of(app_scope("shop")).await, Some(epoch(2)));
    store.delete_app(acme(), &"shop".parse().unwrap()).await.unwrap();
    assert_eq!(epoch_of(app_scope("shop")).await, None);
    assert_eq!(epoch_of(org_scope()).await, Some(epoch(1)));
}
