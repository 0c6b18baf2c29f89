//! SQL stores change totals in the transaction of the usage: there is nothing to consolidate.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::calendar::Day;
use crate::domain::ids::OrgId;
use crate::storage::contract::{Consolidation, ConsolidationLease, Result};

macro_rules! nothing_to_consolidate {
    ($(#[$cfg:meta] $store:ty),+ $(,)?) => {
        $(
            #[$cfg]
            #[async_trait]
            impl Consolidation for $store {
                fn consolidates(&self) -> bool {
                    false
                }

                async fn consolidate(&self, _: OrgId, _: Day) -> Result<bool> {
                    Ok(false)
                }

                async fn unconsolidated(&self, _: u32) -> Result<Vec<(OrgId, Day)>> {
                    Ok(Vec::new())
                }

                async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>> {
                    Ok(None)
                }

                async fn lease_consolidation(&self, _: &ConsolidationLease, _: Timestamp) -> Result<bool> {
                    Ok(false)
                }
            }
        )+
    };
}

nothing_to_consolidate! {
    #[cfg(feature = "sqlite")]
    super::sqlite::SqliteStorage,
    #[cfg(feature = "postgres")]
    super::postgres::PostgresStorage,
}
