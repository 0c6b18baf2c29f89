//! The four tables: what they are called and what they are like, in one place.

use std::collections::BTreeMap;

use serde::Serialize;

use super::address::{Address, InvalidUrl};
use super::keys::{EXPIRES, PK, SK};
use crate::storage::options::DynamoDbOptions;

/// A table, by its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Tenants, credentials, prices and what the service keeps for itself.
    Config,
    /// Usage records, which are their own dedup keys.
    Usage,
    /// Counters in shards.
    Counters,
    /// Totals and fallback states.
    Totals,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Config, Self::Usage, Self::Counters, Self::Totals];

    /// The name without the deployment's prefix.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Usage => "usage",
            Self::Counters => "counters",
            Self::Totals => "totals",
        }
    }
}

/// Names of the tables of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    names: [String; 4],
}

impl Tables {
    /// The tables of the deployment with this prefix.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { names: Table::ALL.map(|table| format!("{prefix}{}", table.role())) }
    }

    /// A table's name.
    #[must_use]
    pub fn name(&self, table: Table) -> &str {
        let [config, usage, counters, totals] = &self.names;
        match table {
            Table::Config => config,
            Table::Usage => usage,
            Table::Counters => counters,
            Table::Totals => totals,
        }
    }

    /// The table of a name; `None` where it is none of these.
    pub(super) fn of_name(&self, name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| self.name(*table) == name)
    }
}

/// What `migrate` makes of a table, and what a deployment that makes its tables by other means makes of it: in the form
/// of the properties of `AWS::DynamoDB::Table` in CloudFormation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableProperties {
    /// Its name, with the deployment's prefix.
    pub table_name: String,
    /// Attributes that keys are made of, and only those.
    pub attribute_definitions: Vec<KeyAttribute>,
    /// The primary key: partition, then sort.
    pub key_schema: Vec<KeyElement>,
    /// How it is billed: by request, because load follows the sun and idle nights cost nothing.
    pub billing_mode: &'static str,
    /// How DynamoDB deletes what expired; `None` where the URL switches that off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_live_specification: Option<TimeToLive>,
    /// Tags from the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TableTag>,
}

/// An attribute that is part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyAttribute {
    /// Its name.
    pub attribute_name: &'static str,
    /// Its type, as DynamoDB abbreviates it.
    pub attribute_type: &'static str,
}

/// A part of the primary key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    /// The attribute.
    pub attribute_name: &'static str,
    /// `HASH` for the partition, `RANGE` for the order in it.
    pub key_type: &'static str,
}

/// How what expired is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeToLive {
    /// The attribute with the instant, in seconds since 1970.
    pub attribute_name: &'static str,
    /// Whether it is on.
    pub enabled: bool,
}

/// A tag of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableTag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What the tables of one deployment are like. They are all alike: generic keys, so that what is read together lies
/// together, and no index.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tables: Tables,
    pub(super) ttl: bool,
    pub(super) tags: BTreeMap<String, String>,
}

impl Plan {
    pub(super) fn properties(&self, table: Table) -> TableProperties {
        let keys = [(PK, "HASH"), (SK, "RANGE")];
        TableProperties {
            table_name: self.tables.name(table).to_owned(),
            attribute_definitions: keys
                .map(|(attribute_name, _)| KeyAttribute { attribute_name, attribute_type: "S" })
                .into(),
            key_schema: keys.map(|(attribute_name, key_type)| KeyElement { attribute_name, key_type }).into(),
            billing_mode: "PAY_PER_REQUEST",
            time_to_live_specification: self.ttl.then_some(TimeToLive { attribute_name: EXPIRES, enabled: true }),
            tags: self.tags.iter().map(|(key, value)| TableTag { key: key.clone(), value: value.clone() }).collect(),
        }
    }
}

/// The tables that `migrate` makes for what follows `dynamodb://`, as JSON: always the same text for the same
/// deployment. Calls nobody.
///
/// # Errors
/// [`InvalidUrl`], which says what to change.
pub(crate) fn planned(rest: &str, options: &DynamoDbOptions) -> Result<String, InvalidUrl> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Document {
        tables: Vec<TableProperties>,
    }
    let address = Address::parse(rest)?;
    let plan = Plan { tables: Tables::new(&address.table_prefix), ttl: address.ttl, tags: options.tags.clone() };
    let tables = Table::ALL.into_iter().map(|table| plan.properties(table)).collect();
    // Text and lists of text: there is nothing that JSON could not hold.
    let text = serde_json::to_string_pretty(&Document { tables }).map_err(|error| InvalidUrl(error.to_string()))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_table_is_named_by_prefix_and_role_and_found_by_its_name() {
        let tables = Tables::new("a-");
        let names = Table::ALL.map(|table| tables.name(table).to_owned());
        assert_eq!(names, ["a-config", "a-usage", "a-counters", "a-totals"]);
        for table in Table::ALL {
            assert_eq!(tables.of_name(tables.name(table)), Some(table));
        }
        assert_eq!(tables.of_name("b-usage"), None);
    }

    #[test]
    fn the_planned_tables_are_in_the_form_of_cloudformation() {
        let tags = BTreeMap::from([("team".to_owned(), "metering".to_owned())]);
        let options = DynamoDbOptions { tags, ..DynamoDbOptions::default() };
        let text = planned("AKIA:hunter2@?endpoint=http://127.0.0.1:9&table_prefix=a-", &options).unwrap();
        assert!(text.ends_with("}\n") && !text.contains("hunter2"), "{text}");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let tables = document["Tables"].as_array().unwrap();
        let names: Vec<_> = tables.iter().map(|table| table["TableName"].as_str().unwrap()).collect();
        assert_eq!(names, ["a-config", "a-usage", "a-counters", "a-totals"]);
        let expected = serde_json::json!({
            "TableName": "a-config",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": true},
            "Tags": [{"Key": "team", "Value": "metering"}],
        });
        assert_eq!(tables.first(), Some(&expected));
        let plain = planned("?ttl=off", &DynamoDbOptions::default()).unwrap();
        assert!(!plain.contains("TimeToLive") && !plain.contains("Tags"), "{plain}");
        assert!(planned("?regoin=us-east-1", &DynamoDbOptions::default()).is_err());
    }
}
