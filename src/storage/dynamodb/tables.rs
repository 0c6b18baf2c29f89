//! The four tables: what they are called and what they are like, in one place.

use super::keys::{EXPIRES, PK, SK};

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

/// What a table is like. A deployment that makes its tables by other means than `migrate` makes them like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableDefinition {
    /// Name of the partition key, a string.
    pub partition_key: &'static str,
    /// Name of the sort key, a string.
    pub sort_key: &'static str,
    /// How it is billed: by request, because load follows the sun and idle nights cost nothing.
    pub billing_mode: &'static str,
    /// The attribute by which DynamoDB deletes what expired, in seconds since 1970.
    pub ttl_attribute: &'static str,
}

impl Table {
    /// What this table is like. They are all alike: generic keys, so that what is read together lies together, and no
    /// index.
    #[must_use]
    pub fn definition(self) -> TableDefinition {
        TableDefinition { partition_key: PK, sort_key: SK, billing_mode: "PAY_PER_REQUEST", ttl_attribute: EXPIRES }
    }
}

#[cfg(test)]
mod tests {
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
}
