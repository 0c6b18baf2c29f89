//! Whether everything acknowledged is stored, and nothing else.

use bedrock_cost_keeper::clock::{Clock as _, SystemClock};
use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::ids::{OrgId, Scope};
use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::storage::{StorageOptions, open};

use crate::generator::Acknowledged;
use crate::tenants::Tenant;

/// The acknowledged and the stored sums.
pub(crate) struct Ledger {
    pub(crate) acknowledged: Acknowledged,
    pub(crate) stored: Acknowledged,
}

impl Ledger {
    pub(crate) fn is_exact(&self) -> bool {
        (self.acknowledged.records, self.acknowledged.cost) == (self.stored.records, self.stored.cost)
    }
}

/// Reads the store itself, after the service has ended.
pub(crate) async fn check(url: &str, tenants: &[Tenant], acknowledged: Acknowledged) -> Ledger {
    let storage = open::open(url, &StorageOptions::default()).await.unwrap();
    let scope = Scope::org(OrgId(tenants[0].org_id));
    let mut stored = Acknowledged::NONE;
    // The day of the organization, and the one before where midnight passed meanwhile.
    let now = SystemClock.now();
    for instant in [now, now - jiff::SignedDuration::from_hours(24)] {
        let day: Day = instant.strftime("%Y-%m-%d").to_string().parse().unwrap();
        for total in storage.totals(&scope, day).await.unwrap().values() {
            stored = stored.and(Acknowledged { records: total.day.requests, cost: total.day.cost });
        }
    }
    storage.close().await;
    Ledger { acknowledged, stored }
}

/// For the report.
pub(crate) fn dollars(cost: PicoUsd) -> String {
    let pico = cost.get();
    format!("${}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000)
}
