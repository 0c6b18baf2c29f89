//! What operations cost on a store with much in it: rows read, as the server counts them.

use std::collections::BTreeMap;

use bedrock_cost_keeper::domain::audit::{AuditOutcome, AuditPosition};
use bedrock_cost_keeper::domain::ids::ClientId;
use bedrock_cost_keeper::domain::usage::UsageRecord;
use bedrock_cost_keeper::storage::sql::PostgresStorage;
use bedrock_cost_keeper::storage::{
    AuditTrail, Breakdown, Credentials, DailyTotalKey, Fallbacks, Maintenance, PostgresOptions, Profiles,
    RepriceFilter, RepricePosition, Repricing, Retention, Revocation, Tenants, UsageLedger,
};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Database, run, until};
use crate::conformance::audit::event;
use crate::conformance::repricing::{correction, priced};
use crate::support::samples::{
    acme, app, app_id, app_scope, client, day, label, noon, noon_plus, org, org_id, org_scope, profile, request_id,
    state, usage,
};

/// An organization of 400 applications with usage on 60 days, of which some is unpriced, and 5000 other organizations.
const FILL: &str = "
    INSERT INTO orgs SELECT md5(n::text)::uuid, '{}', 1, 0, 0 FROM generate_series(1, 5000) n;
    INSERT INTO apps SELECT $ORG, 'app' || n, (SELECT config FROM apps WHERE app_id = 'shop'), 1, 0, 0
        FROM generate_series(1, 400) n;
    INSERT INTO credentials SELECT 'client' || n, $ORG, 'app' || n, decode(repeat('00', 16), 'hex'),
        decode(repeat('00', 32), 'hex'), NULL, NULL, NULL, md5(n::text)::uuid, 1, 0 FROM generate_series(1, 400) n;
    INSERT INTO inference_profiles SELECT $ORG, 'app' || (n % 400 + 1), 'p' || (n / 400),
        (SELECT arn FROM inference_profiles WHERE app_id = 'shop'), '', 0 FROM generate_series(1, 2000) n;
    INSERT INTO revocations SELECT 'TOKEN', md5(n::text)::uuid, 4000000000000 + n FROM generate_series(1, 5000) n;
    INSERT INTO fallback_states SELECT md5(n::text)::uuid, '', '2026-01-23', 'economy', 1, 'premium', 'MANUAL_OVERRIDE',
        NULL, 0, 1, 4000000000000 FROM generate_series(1, 5000) n;
    INSERT INTO usage_records SELECT $ORG, 'app' || (n % 400 + 1), md5(n::text)::uuid, decode(repeat('00', 32), 'hex'),
        'premium', to_char(date '2025-12-01' + n % 60, 'YYYY-MM-DD'), 0, 1700000000000 + n, 'OK', 'SERVER', 1, 0, NULL, NULL,
        1, 1, 0, 0, 0, false, CASE WHEN n % 50 = 0 THEN 'UNPRICED' ELSE 'PRICED' END, NULL, NULL, 'm', NULL, 'default',
        'standard', 0 FROM generate_series(1, 40000) n;
    INSERT INTO totals SELECT $ORG, period, app, label, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0
        FROM (SELECT to_char(date '2025-12-01' + n, 'YYYY-MM-DD') AS period FROM generate_series(0, 59) n
              UNION ALL VALUES ('2025-12'), ('2026-01')) p,
        (SELECT '' AS app UNION ALL SELECT 'app' || n FROM generate_series(1, 400) n) a,
        (VALUES ('premium'), ('economy')) l (label);
    INSERT INTO audit_events SELECT 1700000000000 + n, md5(n::text)::uuid,
        CASE WHEN n % 3 = 0 THEN NULL WHEN n % 300 = 1 THEN $ORG ELSE md5((n % 500)::text)::uuid END, NULL, 'anonymous', NULL,
        'login_refused', 'refused', NULL, NULL, NULL, 'r', NULL FROM generate_series(1, 30000) n;
    ANALYZE;
";

/// Rows and index entries that were read, by table.
async fn rows_read(shell: &mut PgConnection) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT t.relname::text, (t.seq_tup_read + coalesce((SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i \
         WHERE i.relid = t.relid), 0))::bigint FROM pg_stat_user_tables t",
    )
    .fetch_all(shell)
    .await
    .unwrap();
    rows.into_iter().collect()
}

struct Meter {
    database: Database,
    shell: PgConnection,
}

impl Meter {
    /// Does something often enough that the server may have settled on a plan for any argument, and answers how many rows
    /// of which tables it read each time.
    async fn of<F: AsyncFn(&PostgresStorage)>(&mut self, work: F) -> BTreeMap<String, i64> {
        const TIMES: i64 = 10;
        self.quiet().await;
        let before = rows_read(&mut self.shell).await;
        let storage = self.database.with(&PostgresOptions { max_connections: 1, ..PostgresOptions::default() });
        for _ in 0..TIMES {
            work(&storage).await;
        }
        storage.close().await;
        self.quiet().await;
        let mut read = rows_read(&mut self.shell).await;
        read.retain(|table, rows| {
            *rows = (*rows - before.get(table).copied().unwrap_or_default()) / TIMES;
            *rows > 0
        });
        read
    }

    /// Until every connection of ours has ended, and with that reported what it read.
    async fn quiet(&mut self) {
        let connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'bedrock-cost-keeper'";
        until(&mut self.shell, connected, 0).await;
    }
}

async fn filled() -> Meter {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    storage.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    storage.create_profile(&profile("shop", "p", 1), 10).await.unwrap();
    storage.close().await;
    let mut shell = database.shell().await;
    run(&mut shell, &FILL.replace("$ORG", &format!("'{}'::uuid", acme().0))).await;
    // What filling read is reported for certain when the connection that did it has ended.
    shell.close().await.unwrap();
    let mut shell = database.shell().await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    until(&mut shell, others, 0).await;
    Meter { database, shell }
}

#[tokio::test]
async fn no_operation_reads_more_than_it_needs_however_much_there_is() {
    let mut meter = filled().await;
    let (today, app7) = (day("2026-01-23"), app_id("app7"));
    let month = day("2026-01-01")..=day("2026-01-29");
    let next = std::sync::atomic::AtomicU64::new(1 << 40);
    let fresh = || u128::from(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let on_app = |n: u128| UsageRecord { app_id: app_id("app7"), ..usage("x", n) };
    let mut costs: Vec<(&str, BTreeMap<String, i64>, i64)> = Vec::new();
    macro_rules! measure {
        ($name:literal, at most $limit:literal, |$storage:ident| $work:expr) => {
            let read = meter
                .of(async |$storage: &PostgresStorage| {
                    $work;
                })
                .await;
            costs.push(($name, read, $limit));
        };
    }
    measure!("recording one", at most 8, |s| s.record_usage(&[on_app(fresh())]).await.unwrap());
    measure!("recording a hundred", at most 8, |s| {
        let records: Vec<_> = (0..100).map(|_| on_app(fresh())).collect();
        s.record_usage(&records).await.unwrap()
    });
    measure!("repeating one", at most 10, |s| s.record_usage(&[on_app(1)]).await.unwrap());
    measure!("one record", at most 2, |s| s.usage(acme(), &app7, request_id(1)).await.unwrap());
    measure!("totals", at most 8, |s| s.totals(&app_scope("app7"), today).await.unwrap());
    measure!("totals of a label", at most 8, |s| s.label_totals(acme(), &app7, &label("premium"), today).await.unwrap());
    measure!("a selection", at most 8, |s| s.selection_state(&app_scope("app7"), today).await.unwrap());
    measure!("a tenant", at most 10, |s| s.tenant(&app_scope("app7")).await.unwrap());
    measure!("a page of tenants", at most 25, |s| s.list_apps(acme(), Some(&app_id("app3")), 20).await.unwrap());
    // Every profile of the organization, from an index.
    measure!("what labels mean", at most 2_100, |s| s.common_profiles(acme()).await.unwrap());
    measure!("a token", at most 10, |s| {
        let client_id = ClientId::of(org_scope());
        s.token_state(&client_id, Uuid::from_u128(1), Uuid::from_u128(2)).await.unwrap()
    });
    measure!("a revocation", at most 10, |s| {
        s.revoke(Revocation::Token(Uuid::from_u128(fresh())), noon_plus(1)).await.unwrap();
    });
    measure!("a swap", at most 10, |s| {
        s.swap_fallback(&app_scope("app7"), today, &state("economy", 1), noon_plus(1)).await.unwrap();
    });
    // Two labels on 29 days, and a look at each period; the 400 applications beside do not count.
    measure!("days of one scope", at most 100, |s| {
        let totals = s.daily_totals(acme(), Breakdown::App(&app7), month.clone(), None, 1_000).await.unwrap();
        assert_eq!(totals.len(), 58);
    });
    measure!("days of an organization", at most 100, |s| {
        s.daily_totals(acme(), Breakdown::Org, month.clone(), None, 1_000).await.unwrap()
    });
    measure!("a page of every application's days", at most 60, |s| {
        let after = DailyTotalKey { day: day("2026-01-10"), app_id: Some(app_id("app7")), model_label: label("premium") };
        let page = s.daily_totals(acme(), Breakdown::EveryApp, month.clone(), Some(&after), 50).await.unwrap();
        assert_eq!(page.len(), 50);
    });
    let after =
        RepricePosition { org_id: acme(), day: day("2025-12-20"), app_id: app_id("x"), request_id: request_id(0) };
    measure!("a page of what can be repriced", at most 25, |s| {
        assert_eq!(s.repriceable(&RepriceFilter::default(), Some(&after), 20).await.unwrap().len(), 20);
    });
    measure!("a page of an organization's", at most 25, |s| {
        let filter = RepriceFilter { scope: Some(org_scope()), ..RepriceFilter::default() };
        assert_eq!(s.repriceable(&filter, Some(&after), 20).await.unwrap().len(), 20);
    });
    measure!("a correction", at most 12, |s| {
        let filter = RepriceFilter { scope: Some(org_scope()), ..RepriceFilter::default() };
        let found = s.repriceable(&filter, None, 1).await.unwrap();
        s.reprice_usage(&[correction(&found[0], &priced(7))], noon()).await.unwrap()
    });
    measure!("an event of the audit trail", at most 4, |s| {
        s.append_audit(&event(0, fresh())).await.unwrap();
    });
    measure!("the outcome of an event", at most 4, |s| {
        let event = event(1, fresh());
        s.append_audit(&event).await.unwrap();
        assert!(s.settle_audit(event.position, Some(acme()), AuditOutcome::Refused).await.unwrap());
    });
    let middle = AuditPosition { at: Timestamp::from_millisecond(1_700_000_020_000).unwrap(), id: Uuid::nil() };
    measure!("a page of the audit trail", at most 25, |s| {
        assert_eq!(s.audit_events(None, Some(middle), 20).await.unwrap().len(), 20);
    });
    measure!("a page of an organization's audit trail", at most 25, |s| {
        assert_eq!(s.audit_events(Some(acme()), Some(middle), 20).await.unwrap().len(), 20);
    });
    measure!("an audit trail that nobody has", at most 4, |s| {
        assert_eq!(s.audit_events(Some(org_id(7)), Some(middle), 20).await.unwrap().len(), 0);
    });
    measure!("a purge that finds nothing", at most 8, |s| {
        let early = Timestamp::UNIX_EPOCH;
        let totals_before = day("2025-01-01");
        let retention = Retention { now: early, usage_before: early, totals_before, audit_before: early };
        s.purge(&retention, 100).await.unwrap()
    });
    measure!("a purge of a batch", at most 400, |s| {
        let totals_before = day("2025-12-03");
        let retention = Retention { now: noon(), usage_before: noon(), totals_before, audit_before: noon() };
        assert!(s.purge(&retention, 30).await.unwrap() >= 30);
    });
    let too_much: Vec<_> = costs.iter().filter(|(_, read, limit)| read.values().sum::<i64>() > *limit).collect();
    assert!(too_much.is_empty(), "{too_much:#?}\nof {costs:#?}");
}
