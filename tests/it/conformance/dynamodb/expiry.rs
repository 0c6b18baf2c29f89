//! What expired or was replaced, and is still there.

use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::dynamodb::Table;
use bedrock_cost_keeper::storage::{
    Credentials, FallbackSwap, Fallbacks, Maintenance, Prices, Retention, Revocation, StoredPrices, TakenSecret,
    Tenants,
};
use uuid::Uuid;

use super::{Room, key};
use crate::support::samples::{acme, day, noon, noon_plus, org, org_scope, sealed_client, state};

#[tokio::test]
async fn what_expired_counts_as_gone_although_it_is_still_there() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon())).await.unwrap();
    storage.swap_fallback(&org_scope(), day("2026-01-23"), &state("economy", 1), noon()).await.unwrap();
    storage.revoke(Revocation::Token(Uuid::from_u128(1)), noon()).await.unwrap();
    let client_id = ClientId::of(org_scope());
    let revoked = async || storage.token_state(&client_id, Uuid::nil(), Uuid::from_u128(1)).await.unwrap().revoked;
    let purge = async |now| {
        let before = noon_plus(-1_000_000);
        let retention = Retention { now, usage_before: before, totals_before: day("2025-01-01"), audit_before: before };
        assert_eq!(storage.purge(&retention, 100).await.unwrap(), 0);
    };
    let items = (room.keys(Table::Config).await, room.keys(Table::Totals).await);

    purge(noon()).await;
    assert!(revoked().await);
    assert!(storage.fallback(&org_scope(), day("2026-01-23")).await.unwrap().is_some());

    purge(noon_plus(1)).await;
    assert_eq!((room.keys(Table::Config).await, room.keys(Table::Totals).await), items, "nothing was deleted");
    assert!(!revoked().await);
    assert_eq!(storage.take_secret(&client_id, &[1; 32], noon_plus(-1)).await.unwrap(), TakenSecret::Unknown);
    assert_eq!(storage.fallback(&org_scope(), day("2026-01-23")).await.unwrap(), None);
    let selection = storage.selection_state(&org_scope(), day("2026-01-23")).await.unwrap();
    assert_eq!(selection.fallback, None);
    // And so it is replaced by a first state, not by a second one.
    let swap = async |version| {
        let next = state("standard", version);
        storage.swap_fallback(&org_scope(), day("2026-01-23"), &next, noon_plus(1_000)).await.unwrap()
    };
    assert_eq!(swap(2).await, FallbackSwap::Lost(None));
    assert_eq!(swap(1).await, FallbackSwap::Stored);
    assert_eq!(swap(2).await, FallbackSwap::Stored);
    // A revocation may be made again.
    storage.revoke(Revocation::Token(Uuid::from_u128(1)), noon_plus(5)).await.unwrap();
    assert!(revoked().await);
}

#[tokio::test]
async fn a_later_revocation_holds_and_an_earlier_one_does_not_shorten_it() {
    let room = Room::new();
    let storage = room.storage().await;
    let token = Revocation::Token(Uuid::from_u128(1));
    for millis in [10, 20, 5] {
        storage.revoke(token, noon_plus(millis)).await.unwrap();
    }
    let pk = format!("REVOKED#TOKEN#{}", Uuid::from_u128(1));
    let item = room.shell().get_item().table_name(room.name(Table::Config)).set_key(Some(key(&pk, "-")));
    let item = item.send().await.unwrap().item.unwrap();
    let expires = noon_plus(20);
    assert_eq!(item["expires_ms"], AttributeValue::N(expires.as_millisecond().to_string()));
    // DynamoDB deletes by whole seconds; never early.
    assert_eq!(item["expires"], AttributeValue::N((expires.as_second() + 1).to_string()));
}

#[tokio::test]
async fn parts_of_price_lists_that_are_not_in_force_do_not_stay() {
    let room = Room::new();
    let storage = room.storage().await;
    let list = |seconds: i64| StoredPrices {
        version: seconds.to_string(),
        fetched_at: noon_plus(seconds),
        document: "x".repeat(800_000),
    };
    assert!(storage.put_prices(&list(5), None).await.unwrap());
    let in_force = price_items(&room).await;
    assert_eq!(in_force, 5, "head, announcement and three parts");
    assert!(!storage.put_prices(&list(6), None).await.unwrap());
    assert!(!storage.put_prices(&list(5), None).await.unwrap(), "the very same list is not in force twice");
    assert_eq!(price_items(&room).await, in_force);
    // Left behind by a crash: announced, and written in part.
    let crashed = format!("{}-00", noon_plus(3).as_millisecond());
    room.change("PRICES", &format!("SET#{crashed}"), "SET parts = :value", AttributeValue::N("2".to_owned())).await;
    room.change(&format!("PRICES#{crashed}"), "0000", "SET part = :value", AttributeValue::S("x".to_owned())).await;
    assert!(storage.put_prices(&list(7), Some(noon_plus(5))).await.unwrap());
    assert_eq!(price_items(&room).await, in_force);
    assert_eq!(storage.prices().await.unwrap(), Some(list(7)));
}

async fn price_items(room: &Room) -> usize {
    room.keys(Table::Config).await.iter().filter(|(pk, _)| pk.starts_with("PRICES")).count()
}
