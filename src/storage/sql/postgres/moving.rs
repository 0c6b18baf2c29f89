//! Taking over totals that another store counted: one transaction per call.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::PostgresStorage;
use super::attempts::Repeat;
use super::total_rows::reserve_totals;
use crate::domain::ids::OrgId;
use crate::storage::contract::{DailyTotal, Moving, Result, TotalImport};
use crate::storage::sql::importing::{Importing, keys_of};

#[async_trait]
impl Moving for PostgresStorage {
    async fn import_totals(&self, org_id: OrgId, totals: &[DailyTotal]) -> Result<Vec<TotalImport>> {
        if totals.is_empty() {
            return Ok(Vec::new());
        }
        let keys = &keys_of(org_id, totals)?;
        let to_lock: &BTreeSet<_> = &keys.iter().flat_map(|keys| keys.each().map(Clone::clone)).collect();
        self.transaction(Repeat::Freely, |mut session| async move {
            let (present, reserved) = reserve_totals(&mut session, to_lock).await?;
            let importing = Importing::plan(totals, keys, present);
            reserved.finish(&mut session, &importing.changed).await?;
            session.commit(importing.outcomes).await
        })
        .await
    }
}
