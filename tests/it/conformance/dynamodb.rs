//! What only the DynamoDB store promises about tenants, expiry, tables and its URL.

mod audit;
mod deletion;
mod expiry;
mod tables;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::storage::dynamodb::{DynamoDbStorage, Table};
use bedrock_cost_keeper::storage::{DynamoDbOptions, Maintenance};

use crate::support::samples::{acme, app_scope, org_scope};
use crate::support::servers::dynamodb::FreshTables;

pub(super) type Item = HashMap<String, AttributeValue>;

/// Tables of a test, seen through the store and past it.
pub(super) struct Room {
    tables: FreshTables,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { tables: FreshTables::reserve() }
    }

    pub(super) fn rest(&self) -> String {
        self.tables.url().strip_prefix("dynamodb://").unwrap().to_owned()
    }

    pub(super) async fn unmigrated(&self) -> DynamoDbStorage {
        DynamoDbStorage::open(&self.rest(), &DynamoDbOptions::default()).await.unwrap()
    }

    pub(super) async fn storage(&self) -> DynamoDbStorage {
        let storage = self.unmigrated().await;
        storage.migrate().await.unwrap();
        storage
    }

    /// A client that knows nothing of us, as a person's shell would be.
    pub(super) fn shell(&self) -> Client {
        let rest = self.rest();
        let (pair, query) = rest.split_once("@?").unwrap();
        let (key, secret) = pair.split_once(':').unwrap();
        let parameters: HashMap<_, _> = query.split('&').map(|parameter| parameter.split_once('=').unwrap()).collect();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(parameters["region"].to_owned()))
            .endpoint_url(parameters["endpoint"])
            .credentials_provider(Credentials::new(key, secret, None, None, "test"));
        Client::from_conf(config.build())
    }

    pub(super) fn name(&self, table: Table) -> String {
        let rest = self.rest();
        let (_, prefix) = rest.split_once("table_prefix=").unwrap();
        format!("{prefix}{}", table.role())
    }

    /// Changes an item of the config table past the store.
    async fn change(&self, pk: &str, sk: &str, expression: &str, value: AttributeValue) {
        let call = self.shell().update_item().table_name(self.name(Table::Config)).set_key(Some(key(pk, sk)));
        call.update_expression(expression).expression_attribute_values(":value", value).send().await.unwrap();
    }

    /// Deletes an item of the config table past the store.
    async fn delete(&self, pk: &str, sk: &str) {
        let call = self.shell().delete_item().table_name(self.name(Table::Config)).set_key(Some(key(pk, sk)));
        call.send().await.unwrap();
    }

    /// Keys of everything in a table.
    pub(super) async fn keys(&self, table: Table) -> Vec<(String, String)> {
        let items = self.shell().scan().table_name(self.name(table)).send().await.unwrap().items.unwrap();
        let text = |item: &Item, name: &str| item[name].as_s().unwrap().clone();
        let mut keys: Vec<_> = items.iter().map(|item| (text(item, "pk"), text(item, "sk"))).collect();
        keys.sort();
        keys
    }

    /// What is left of an organization when its deletion is interrupted right after its first step.
    async fn mark_org(&self) {
        self.change(&org_pk(), "ORG", "SET deleting = :value", AttributeValue::Bool(true)).await;
        self.delete("ORGS", &acme().to_string()).await;
        self.delete(&format!("CLIENT#{}", ClientId::of(org_scope())), "CREDENTIAL").await;
    }

    /// What is left of an application when its deletion is interrupted right after its first step.
    async fn mark_app(&self, name: &str) {
        self.change(&org_pk(), &format!("APP#{name}"), "SET deleting = :value", AttributeValue::Bool(true)).await;
        self.change(&org_pk(), "ORG", "ADD ending :value", AttributeValue::Ss(vec![name.to_owned()])).await;
        self.delete(&format!("CLIENT#{}", ClientId::of(app_scope(name))), "CREDENTIAL").await;
    }
}

pub(super) fn key(pk: &str, sk: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn org_pk() -> String {
    format!("ORG#{}", acme())
}
