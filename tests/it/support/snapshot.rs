//! Everything a request could change about tenants, to compare before and after.

use bedrock_cost_keeper::domain::credential::ClientCredential;
use bedrock_cost_keeper::domain::ids::{ClientId, OrgId, Scope};
use bedrock_cost_keeper::domain::profile::InferenceProfile;
use bedrock_cost_keeper::domain::selection::FallbackState;
use bedrock_cost_keeper::domain::tenant::{App, Org};
use bedrock_cost_keeper::storage::{
    Breakdown, Credentials as _, DailyTotal, Fallbacks as _, Profiles as _, Tenants as _, UsageLedger as _,
};

use super::server::TestServer;

/// More than a test registers or records.
const MANY: u32 = 200;

/// Organizations, applications, their clients, profiles, totals and fallbacks of the day the clock starts on.
#[derive(Debug, PartialEq)]
pub(crate) struct Snapshot(Vec<OrgSnapshot>);

#[derive(Debug, PartialEq)]
struct OrgSnapshot {
    org: Org,
    credential: Option<ClientCredential>,
    fallback: Option<FallbackState>,
    totals: Vec<DailyTotal>,
    apps: Vec<AppSnapshot>,
}

#[derive(Debug, PartialEq)]
struct AppSnapshot {
    app: App,
    credential: Option<ClientCredential>,
    fallback: Option<FallbackState>,
    profiles: Vec<InferenceProfile>,
}

impl TestServer {
    /// What the store has now.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let store = &self.store;
        let mut snapshot = Vec::new();
        for org in store.list_orgs(None, MANY).await.unwrap() {
            let scope = Scope::org(org.org_id);
            let mut apps = Vec::new();
            for app in store.list_apps(org.org_id, None, MANY).await.unwrap() {
                apps.push(self.app_snapshot(org.org_id, app).await);
            }
            snapshot.push(OrgSnapshot {
                credential: store.credential(&ClientId::of(scope.clone())).await.unwrap(),
                fallback: store.fallback(&scope, "2026-01-23".parse().unwrap()).await.unwrap(),
                totals: self.totals(org.org_id).await,
                org,
                apps,
            });
        }
        store.take_credential_calls();
        Snapshot(snapshot)
    }

    async fn totals(&self, org_id: OrgId) -> Vec<DailyTotal> {
        let days = "2026-01-01".parse().unwrap()..="2026-02-28".parse().unwrap();
        self.store.daily_totals(org_id, Breakdown::EveryApp, days, None, MANY).await.unwrap()
    }

    async fn app_snapshot(&self, org_id: OrgId, app: App) -> AppSnapshot {
        let scope = Scope::app(org_id, app.app_id.clone());
        AppSnapshot {
            credential: self.store.credential(&ClientId::of(scope.clone())).await.unwrap(),
            fallback: self.store.fallback(&scope, "2026-01-23".parse().unwrap()).await.unwrap(),
            profiles: self.store.profiles(org_id, &app.app_id).await.unwrap(),
            app,
        }
    }
}
