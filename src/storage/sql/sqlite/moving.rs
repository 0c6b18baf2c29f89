//! Taking over totals that another store counted: one transaction per call.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::SqliteStorage;
use super::ledger::{read_totals, write_totals};
use crate::domain::ids::OrgId;
use crate::storage::contract::{DailyTotal, Moving, Result, TotalImport};
use crate::storage::sql::importing::{Importing, keys_of};

#[async_trait]
impl Moving for SqliteStorage {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        let keys = keys_of(org_id, totals)?;
        let to_read: BTreeSet<_> = keys.iter().flat_map(|keys| keys.each().map(Clone::clone)).collect();
        // The lock comes first, as when recording.
        let mut transaction = self.write().await?;
        let present: BTreeMap<_, _> = read_totals(&mut transaction, &to_read).await?;
        let importing = Importing::plan(totals, &keys, present);
        write_totals(&mut transaction, &importing.changed).await?;
        transaction.commit().await?;
        Ok(importing.outcomes)
    }
}
