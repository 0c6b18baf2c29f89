//! Tables, the URL that names them, and what calls of them say and cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, KeyType, TimeToLiveSpecification, TimeToLiveStatus};
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{
    Credentials, DynamoDbOptions, Fallbacks, Maintenance, Revocation, SchemaStatus, StorageError, StorageOptions,
    Tenants, open,
};
use uuid::Uuid;

use super::{Room, org_pk};
use crate::support::samples::{acme, app_scope, client, day, noon, org, org_scope};
use crate::support::servers::free_port;

#[tokio::test]
async fn tables_are_as_defined_with_time_to_live_and_without_indexes() {
    let room = Room::new();
    let rest = room.rest().replace("ttl=off&", "");
    // DynamoDB Local takes tags and forgets them.
    let tags = BTreeMap::from([("team".to_owned(), "metering".to_owned())]);
    let options = DynamoDbOptions { tags, ..DynamoDbOptions::default() };
    let storage = DynamoDbStorage::open(&rest, &options).await.unwrap();
    assert_eq!(storage.migrate().await.unwrap(), 1);
    let shell = room.shell();
    for table in Table::ALL {
        let planned = storage.properties(table);
        let name = storage.tables().name(table);
        let found = shell.describe_table().table_name(name).send().await.unwrap().table.unwrap();
        let keys: Vec<_> = found.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
        let wanted: Vec<_> = planned.key_schema.iter().map(|key| (key.attribute_name, key.key_type)).collect();
        assert_eq!(wanted, keys.iter().map(|(name, kind)| (*name, kind.as_str())).collect::<Vec<_>>());
        assert_eq!(keys.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), [&KeyType::Hash, &KeyType::Range]);
        let billing = found.billing_mode_summary().and_then(|summary| summary.billing_mode()).map(BillingMode::as_str);
        assert_eq!(billing, Some(planned.billing_mode));
        assert!(found.global_secondary_indexes().is_empty() && found.local_secondary_indexes().is_empty());
        let ttl = shell.describe_time_to_live().table_name(name).send().await.unwrap();
        let ttl = ttl.time_to_live_description.unwrap();
        assert_eq!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled));
        assert_eq!(ttl.attribute_name(), planned.time_to_live_specification.map(|wanted| wanted.attribute_name));
    }
    // Once more, where there is nothing to do.
    assert_eq!(storage.migrate().await.unwrap(), 0);
}

#[tokio::test]
async fn a_table_that_expires_by_another_attribute_is_refused() {
    let room = Room::new();
    room.storage().await;
    let other = TimeToLiveSpecification::builder().enabled(true).attribute_name("other").build().unwrap();
    let call = room.shell().update_time_to_live().table_name(room.name(Table::Usage));
    call.time_to_live_specification(other).send().await.unwrap();
    let rest = room.rest().replace("ttl=off&", "");
    let storage = DynamoDbStorage::open(&rest, &DynamoDbOptions::default()).await.unwrap();
    let error = storage.migrate().await.unwrap_err();
    assert!(error.to_string().contains("usage table expires by another attribute"), "{error}");
}

#[tokio::test]
async fn time_to_live_stays_off_where_the_url_says_so() {
    let room = Room::new();
    room.storage().await;
    for table in Table::ALL {
        let ttl = room.shell().describe_time_to_live().table_name(room.name(table)).send().await.unwrap();
        assert_eq!(ttl.time_to_live_description.unwrap().time_to_live_status, Some(TimeToLiveStatus::Disabled));
    }
}

#[tokio::test]
async fn tables_that_somebody_else_made_are_prepared() {
    let room = Room::new();
    room.storage().await;
    room.delete("SCHEMA", "-").await;
    let shell = room.shell();
    shell.delete_table().table_name(room.name(Table::Totals)).send().await.unwrap();
    let storage = room.unmigrated().await;
    let SchemaStatus::Behind(text) = storage.schema_status().await.unwrap() else { panic!("not behind") };
    assert_eq!(text, "missing tables: totals");
    assert_eq!(storage.migrate().await.unwrap(), 1);
    room.delete("SCHEMA", "-").await;
    let SchemaStatus::Behind(text) = storage.schema_status().await.unwrap() else { panic!("not behind") };
    assert!(text.contains("not prepared"), "{text}");
    assert_eq!(storage.migrate().await.unwrap(), 1);
    assert_eq!(storage.schema_status().await.unwrap(), SchemaStatus::Current);
}

#[tokio::test]
async fn a_missing_table_is_named_by_its_role_and_said_what_to_do_about() {
    let room = Room::new();
    let storage = room.unmigrated().await;
    let SchemaStatus::Behind(text) = storage.schema_status().await.unwrap() else { panic!("not behind") };
    assert_eq!(text, "missing tables: config, usage, counters, totals");
    storage.ping().await.unwrap();
    let errors = [
        (storage.tenant(&org_scope()).await.map(drop), "the config table is missing: run `migrate`"),
        (storage.fallback(&org_scope(), day("2026-01-23")).await.map(drop), "the totals table is missing"),
        (storage.create_org(&org(acme()), &client(org_scope(), 1)).await, "table is missing: run `migrate`"),
        (storage.tenant(&app_scope("shop")).await.map(drop), "table is missing: run `migrate`"),
    ];
    for (error, expected) in errors {
        let error = error.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_can_be_used_and_is_left_alone() {
    let room = Room::new();
    let storage = room.storage().await;
    room.change("SCHEMA", "-", "SET n = :value", AttributeValue::N("99".to_owned())).await;
    assert_eq!(storage.schema_status().await.unwrap(), SchemaStatus::Current);
    assert_eq!(storage.migrate().await.unwrap(), 0);
    assert_eq!(storage.schema_status().await.unwrap(), SchemaStatus::Current);
}

#[tokio::test]
async fn a_prefix_separates_deployments() {
    let room = Room::new();
    let here = room.storage().await;
    here.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    // Its tables are deleted with the room's: their names start with the room's prefix too.
    let there = DynamoDbStorage::open(&format!("{}b-", room.rest()), &DynamoDbOptions::default()).await.unwrap();
    assert!(matches!(there.schema_status().await.unwrap(), SchemaStatus::Behind(_)));
    assert_eq!(there.migrate().await.unwrap(), 1);
    assert!(there.tenant(&org_scope()).await.unwrap().is_none());
    there.create_org(&org(acme()), &client(org_scope(), 2)).await.unwrap();
    there.delete_org(acme()).await.unwrap();
    assert!(here.tenant(&org_scope()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_url_that_is_no_address_is_refused_by_the_name_of_the_part() {
    for (rest, part) in [
        ("?regoin=us-east-1", "`regoin`"),
        ("?region=us-east-1&region=us-east-1", "region is given twice"),
        ("localhost:8000?region=us-east-1", "no host"),
        ("AKIA:hunter2@?region=us-east-1", "emulators"),
        ("AKIA:hunter2@?region=us-east-1&endpoint=hunter2", "endpoint must be"),
    ] {
        let text = open::open(&format!("dynamodb://{rest}"), &StorageOptions::default()).await.unwrap_err().to_string();
        assert!(text.starts_with("storage.url: ") && text.contains(part), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("AKIA"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_in_time() {
    // Where nobody listens, and where somebody listens but never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = DynamoDbOptions {
        attempt_timeout: Duration::from_millis(50),
        operation_timeout: Duration::from_millis(200),
        ..DynamoDbOptions::default()
    };
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let rest = format!("key:secret@?region=us-east-1&endpoint=http://127.0.0.1:{port}");
        let storage = DynamoDbStorage::open(&rest, &options).await.unwrap();
        let started = Instant::now();
        let error = storage.tenant(&org_scope()).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(storage.ping().await.unwrap_err().is_transient());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn what_cannot_be_read_back_is_corrupt_and_not_quoted() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let hush = AttributeValue::S("{\"org_name\": \"hush\", \"timezone\": 5}".to_owned());
    room.change(&org_pk(), "ORG", "SET cfg = :value", hush).await;
    let error = storage.tenant(&org_scope()).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt(text) if text.contains("config.cfg")), "{error}");
    assert!(!error.to_string().contains("hush") && !error.is_transient());
}

#[tokio::test]
async fn what_calls_consume_is_counted() {
    let room = Room::new();
    let storage = room.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    let consumed = || (storage.consumed_capacity().read_tenths(), storage.consumed_capacity().write_tenths());
    let (reads, writes) = consumed();
    assert!(reads > 0 && writes > 0);
    // DynamoDB Local says of every transaction that it costs the same, so single calls are looked at.
    storage.tenant(&org_scope()).await.unwrap();
    assert_eq!(consumed(), (reads + 10, writes));
    storage.ping().await.unwrap();
    assert_eq!(consumed(), (reads + 15, writes), "whatever may be old costs half");
    storage.revoke(Revocation::Token(Uuid::nil()), noon()).await.unwrap();
    assert_eq!(consumed(), (reads + 15, writes + 10));
    storage.token_state(&ClientId::of(app_scope("shop")), Uuid::nil(), Uuid::nil()).await.unwrap();
    let (reads_then, writes_then) = consumed();
    assert!(reads_then > reads + 15 && writes_then == writes + 10);
}
