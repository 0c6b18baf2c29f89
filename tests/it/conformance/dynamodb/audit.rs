//! How the audit trail is kept: two copies of an event, which live and die together, apart from every tenant.

use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::audit::{AuditEvent, AuditOutcome};
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{AuditTrail, DynamoDbOptions, Maintenance, Retention, StorageError, Tenants};
use uuid::Uuid;

use super::{Item, Room, key};
use crate::conformance::audit::{event, position};
use crate::conformance::maintenance::keep_all;
use crate::support::samples::{acme, client, noon, org, org_scope};

/// Where the copies of [`event`]`(0, n)` are.
fn places(n: u128) -> [(String, String); 2] {
    let sk = format!("2026-01-23T12:00:00.123Z#{}", Uuid::from_u128(n));
    [("AUDIT".to_owned(), sk.clone()), (format!("AUDIT#{}", acme()), sk)]
}

async fn item(room: &Room, (pk, sk): &(String, String)) -> Item {
    let call = room.shell().get_item().table_name(room.name(Table::Config)).set_key(Some(key(pk, sk)));
    call.send().await.unwrap().item.unwrap()
}

async fn trail(room: &Room) -> Vec<(String, String)> {
    room.keys(Table::Config).await.into_iter().filter(|(pk, _)| pk.starts_with("AUDIT")).collect()
}

#[tokio::test]
async fn an_event_has_a_copy_for_everybody_and_one_for_its_organization_which_expire_together() {
    let room = Room::new();
    let options = DynamoDbOptions { audit_days: 30, ..DynamoDbOptions::default() };
    let storage = DynamoDbStorage::open(&room.rest(), &options).await.unwrap();
    storage.migrate().await.unwrap();
    storage.append_audit(&event(0, 1)).await.unwrap();
    storage.append_audit(&AuditEvent { target: None, ..event(0, 2) }).await.unwrap();
    let [everybodys, its_own] = places(1);
    assert_eq!(trail(&room).await, [everybodys.clone(), places(2)[0].clone(), its_own.clone()]);
    storage.settle_audit(position(0, 1), Some(acme()), AuditOutcome::Succeeded).await.unwrap();
    let [mut left, mut right] = [item(&room, &everybodys).await, item(&room, &its_own).await];
    for copy in [&left, &right] {
        // Thirty days later; seconds are rounded up.
        let seconds = noon().as_second() + 30 * 86_400 + 1;
        assert_eq!(copy["expires"], AttributeValue::N(seconds.to_string()));
        assert_eq!(copy["outcome"], AttributeValue::S("succeeded".to_owned()));
    }
    left.remove("pk");
    right.remove("pk");
    assert_eq!(left, right);
}

#[tokio::test]
async fn an_event_that_expired_counts_as_gone_although_it_is_still_there() {
    let room = Room::new();
    let storage = room.storage().await;
    for n in [1, 2] {
        storage.append_audit(&event(0, n)).await.unwrap();
    }
    let there = trail(&room).await;
    let purge = async |millis| {
        let audit_before = position(millis, 0).at;
        assert_eq!(storage.purge(&Retention { audit_before, ..keep_all() }, 100).await.unwrap(), 0);
    };
    purge(0).await;
    assert_eq!(storage.audit_events(None, None, 10).await.unwrap().len(), 2);
    purge(1).await;
    // What was gone stays gone.
    purge(-5).await;
    for org_id in [None, Some(acme())] {
        assert_eq!(storage.audit_events(org_id, None, 10).await.unwrap(), []);
    }
    assert!(!storage.settle_audit(position(0, 1), Some(acme()), AuditOutcome::Succeeded).await.unwrap());
    assert_eq!(trail(&room).await, there, "nothing was deleted");
    assert_eq!(item(&room, &places(1)[0]).await["outcome"], AttributeValue::S("pending".to_owned()));
}

#[tokio::test]
async fn deleting_a_tenant_touches_no_event() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    storage.append_audit(&event(0, 1)).await.unwrap();
    let there = trail(&room).await;
    assert!(storage.delete_org(acme()).await.unwrap());
    assert_eq!(trail(&room).await, there);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_back_is_corrupt_and_not_quoted() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.append_audit(&event(0, 1)).await.unwrap();
    let kept = item(&room, &places(1)[0]).await;
    let write = async |item: Item| {
        room.shell().put_item().table_name(room.name(Table::Config)).set_item(Some(item)).send().await.unwrap();
    };
    for attribute in ["actor", "actor_id", "action", "outcome", "org", "app", "before", "after", "address"] {
        let mut item = kept.clone();
        item.insert(attribute.to_owned(), AttributeValue::S("{hush".to_owned()));
        write(item).await;
        let error = storage.audit_events(None, None, 10).await.unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt(text) if text.starts_with("config.")), "{attribute}: {error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    write(kept).await;
    assert_eq!(storage.audit_events(None, None, 10).await.unwrap(), [event(0, 1)]);
}
