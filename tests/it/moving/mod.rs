//! Moving from one store to another: export, import, and what they refuse.

mod audit;
mod conflicts;
mod files;
mod interrupted;
mod pages;
mod process;
mod trip;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bedrock_cost_keeper::domain::credential::ClientCredential;
use bedrock_cost_keeper::domain::ids::{AppId, ClientId, ModelLabel, OrgId, Scope};
use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::profile::InferenceProfile;
use bedrock_cost_keeper::domain::tenant::{App, Org};
use bedrock_cost_keeper::domain::usage::{CallStatus, CostSource, Counters, SpendTotals, UsageRecord};
use bedrock_cost_keeper::service::access::{Origin, ProvisioningAccess};
use bedrock_cost_keeper::service::moving::{ImportError, MoveReport};
use bedrock_cost_keeper::storage::{Breakdown, DailyTotal, Storage};
use uuid::Uuid;

use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, noon_plus, org, org_id, org_scope, previous, profile, usage,
};
use crate::support::server::{ADMIN_KEY, TestServer};
use crate::support::stores::{self, FreshStore};

/// A service on an empty SQLite store.
async fn service() -> TestServer {
    service_on(stores::sqlite().await).await
}

/// A service on a store. Each has randomness of its own, as services have.
async fn service_on(store: FreshStore) -> TestServer {
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    TestServer::on(Arc::new(store), |setup| setup.seed = SEEDS.fetch_add(1, Ordering::Relaxed)).await
}

/// What an administrator holds.
fn admin(server: &TestServer) -> ProvisioningAccess {
    let origin = Origin { request_id: "a-test".to_owned(), address: None };
    server.app.services.administrator(ADMIN_KEY, origin).unwrap().provisioning().unwrap()
}

async fn export(server: &TestServer) -> Vec<u8> {
    let mut bytes = Vec::new();
    server.app.services.export_everything(&admin(server), &mut bytes).await.unwrap();
    bytes
}

async fn import(server: &TestServer, export: &[u8]) -> Result<MoveReport, ImportError> {
    server.app.services.import_everything(&admin(server), &mut Cursor::new(export), false).await
}

async fn dry_run(server: &TestServer, export: &[u8]) -> Result<MoveReport, ImportError> {
    server.app.services.import_everything(&admin(server), &mut Cursor::new(export), true).await
}

/// The lines between the first and the last: the same for every export of the same content.
fn content(export: &[u8]) -> Vec<&str> {
    let lines: Vec<_> = std::str::from_utf8(export).unwrap().lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

/// An organization that nobody else in these tests is, before [`acme`] in the order of ids.
fn other_org() -> OrgId {
    org_id(7)
}

/// Submissions of many kinds over the end of a month. Far in the future, so that no store lets them expire.
fn submissions() -> Vec<UsageRecord> {
    let days = ["2095-12-30", "2095-12-31", "2096-01-01", "2096-01-02", "2096-02-29"];
    let labels = ["premium", "standard", "mine"];
    (0..180_u128)
        .map(|n| {
            let pick = usize::try_from(n).unwrap();
            let record = UsageRecord {
                org_id: if n % 5 == 0 { other_org() } else { acme() },
                app_id: app_id(["shop", "blog", "deleted"][pick / 3 % 3]),
                day: day(days[pick % 5]),
                model_label: labels[pick % 3].parse().unwrap(),
                status: if n % 7 == 0 { CallStatus::Error } else { CallStatus::Ok },
                cost: PicoUsd::new(1_234_567_890_123 * n + n),
                server_cost: (n % 4 != 0).then(|| PicoUsd::new(1_000_000_007 * n)),
                cost_source: if n % 3 == 0 { CostSource::Client } else { CostSource::Server },
                recorded_at: noon_plus(i64::try_from(n).unwrap()),
                ..usage("shop", n + 1)
            };
            UsageRecord { shard_id: u8::try_from(n % 64).unwrap(), ..record }
        })
        .collect()
}

/// Fills a store with something of every kind, each with a value that is easily lost.
async fn fill(store: &dyn Storage) {
    for (id, seed) in [(acme(), 1), (other_org(), 2)] {
        let scope = Scope::org(id);
        let mut client = client(scope, seed);
        client.credential.previous = (seed == 1).then(|| previous(90));
        client.credential.version = 4;
        store.create_org(&Org { version: 3, ..org(id) }, &client).await.unwrap();
    }
    for (name, seed) in [("shop", 11), ("blog", 12)] {
        let mut client = client(app_scope(name), seed);
        client.credential.previous = (seed == 12).then(|| previous(91));
        store.create_app(&App { version: 2, ..app(acme(), name) }, &client).await.unwrap();
    }
    let lonely = Scope::app(other_org(), app_id("shop"));
    store.create_app(&app(other_org(), "shop"), &client(lonely, 21)).await.unwrap();
    for (app, label, n) in [("shop", "mine", 1), ("shop", "ours", 2), ("blog", "mine", 3)] {
        store.create_profile(&profile(app, label, n), 100).await.unwrap();
    }
    for records in submissions().chunks(100) {
        store.record_usage(records).await.unwrap();
    }
}

/// Everything a store has that moves, read through its contract.
#[derive(Debug, PartialEq)]
struct Everything {
    orgs: Vec<Org>,
    apps: Vec<App>,
    profiles: Vec<InferenceProfile>,
    /// Without epochs.
    credentials: Vec<ClientCredential>,
    daily: Vec<(OrgId, DailyTotal)>,
    of_orgs: Vec<(OrgId, DailyTotal)>,
    months: BTreeMap<(Scope, String), BTreeMap<ModelLabel, Counters>>,
}

async fn credential(store: &dyn Storage, scope: Scope) -> ClientCredential {
    let credential = store.credential(&ClientId::of(scope)).await.unwrap().unwrap();
    ClientCredential { token_epoch: Uuid::nil(), ..credential }
}

async fn everything(store: &dyn Storage) -> Everything {
    let mut all = Everything {
        orgs: store.list_orgs(None, 1_000).await.unwrap(),
        apps: Vec::new(),
        profiles: Vec::new(),
        credentials: Vec::new(),
        daily: Vec::new(),
        of_orgs: Vec::new(),
        months: BTreeMap::new(),
    };
    let days = day("0001-01-01")..=day("9999-12-31");
    for org_id in all.orgs.iter().map(|org| org.org_id).collect::<Vec<_>>() {
        all.credentials.push(credential(store, Scope::org(org_id)).await);
        for app in store.list_apps(org_id, None, 1_000).await.unwrap() {
            all.credentials.push(credential(store, Scope::app(org_id, app.app_id.clone())).await);
            all.profiles.extend(store.profiles(org_id, &app.app_id).await.unwrap());
            all.apps.push(app);
        }
        for (breakdown, found) in [(Breakdown::EveryApp, &mut all.daily), (Breakdown::Org, &mut all.of_orgs)] {
            let totals = store.daily_totals(org_id, breakdown, days.clone(), None, 10_000).await.unwrap();
            found.extend(totals.into_iter().map(|total| (org_id, total)));
        }
    }
    let mut wanted: Vec<(Scope, String)> = Vec::new();
    for (org_id, total) in all.daily.iter().chain(&all.of_orgs) {
        wanted.push((Scope { org_id: *org_id, app_id: total.app_id.clone() }, total.day.month().to_string()));
    }
    for (scope, month) in wanted {
        if !all.months.contains_key(&(scope.clone(), month.clone())) {
            let totals = store.totals(&scope, day(&format!("{month}-01"))).await.unwrap();
            let months = totals.into_iter().map(|(label, SpendTotals { month, .. })| (label, month)).collect();
            all.months.insert((scope, month), months);
        }
    }
    all
}

/// A service with [`fill`]ed data, and its export.
async fn filled() -> (TestServer, Vec<u8>) {
    let server = service().await;
    fill(&*server.store).await;
    let export = export(&server).await;
    (server, export)
}

fn shop() -> AppId {
    app_id("shop")
}

fn acme_client() -> ClientId {
    ClientId::of(org_scope())
}
