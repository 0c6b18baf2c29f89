//! Nothing waits for ever, on either side of the connection.

use std::time::{Duration, Instant};

use bedrock_cost_keeper::domain::usage::UsageRecord;
use bedrock_cost_keeper::storage::{
    Credentials, Fallbacks, IngestLimits, Maintenance, PostgresOptions, RecordOutcome, TakenSecret, Tenants,
    UsageLedger,
};

use super::{Database, number, run, until};
use crate::support::samples::{
    acme, client, day, noon, noon_plus, org, org_scope, sealed_client, state, usage, usage_of,
};

/// Connections of ours that are in the middle of something.
const BUSY: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
     AND application_name = 'bedrock-cost-keeper' AND state <> 'idle'";

fn impatient() -> PostgresOptions {
    PostgresOptions {
        max_connections: 3,
        acquire_timeout: Duration::from_millis(300),
        statement_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    }
}

/// Whether statements are bounded by the connection or, as behind a pooler, by their transaction.
const BOTH_WAYS: [bool; 2] = [true, false];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_is_given_up_in_time_and_leaves_nobody_waiting_on_the_server() {
    for prepared_statements in BOTH_WAYS {
        let database = Database::new().await;
        database.storage().await.record_usage(&[usage("shop", 1)]).await.unwrap();
        let storage = database.with(&PostgresOptions { prepared_statements, ..impatient() });
        let mut shell = database.shell().await;
        run(&mut shell, "BEGIN; LOCK TABLE totals").await;
        let begin = Instant::now();
        let error = storage.record_usage(&[usage("shop", 2)]).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert!(storage.totals(&org_scope(), usage("shop", 1).day).await.unwrap_err().is_transient());
        let mut watch = database.shell().await;
        until(&mut watch, BUSY, 0).await;
        run(&mut shell, "ROLLBACK").await;
        let outcomes = storage.record_usage(&[usage("shop", 2)]).await.unwrap();
        assert!(matches!(outcomes[..], [RecordOutcome::Accepted(_)]), "nothing of the refused call was left");
        assert_eq!(number(&mut watch, "SELECT sum(requests)::bigint FROM totals WHERE app_id = ''").await, 4);
    }
}

#[tokio::test]
async fn an_instance_has_no_more_connections_than_it_may() {
    let database = Database::new().await;
    database.storage().await.close().await;
    let storage = database.with(&impatient());
    let all = futures::future::join_all((0..40_u128).map(|n| {
        let storage = &storage;
        async move { storage.record_usage(&[usage("shop", n)]).await }
    }));
    let all = all.await;
    assert!(
        all.iter()
            .all(|result| result.as_ref().is_ok_and(|_| true) || result.as_ref().is_err_and(|e| e.is_transient()))
    );
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'bedrock-cost-keeper'";
    assert!(number(&mut database.shell().await, ours).await <= 3);
}

#[test]
fn batches_leave_connections_for_reading() {
    for (max_connections, concurrency) in [(1, 1), (2, 1), (4, 2), (10, 4), (100, 4)] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let options = PostgresOptions { max_connections, ..PostgresOptions::default() };
        let storage = bedrock_cost_keeper::storage::sql::PostgresStorage::new("postgres://x@127.0.0.1/x", &options);
        assert_eq!(storage.unwrap().ingest_limits(), IngestLimits { max_batch: 512, concurrency });
    }
}

/// A caller that gives up drops its call, at whatever point it is.
#[tokio::test]
async fn a_dropped_call_leaves_no_transaction_and_no_lock_behind() {
    for prepared_statements in BOTH_WAYS {
        let database = Database::new().await;
        database.storage().await;
        let storage = database.with(&PostgresOptions { prepared_statements, ..PostgresOptions::default() });
        storage.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
        let records: Vec<UsageRecord> = (0..50).map(|n| usage_of("shop", n, "premium")).collect();
        let today = day("2026-01-23");
        for polls in 1..30 {
            let mut changed = org(acme());
            changed.version = 99;
            let state = state("economy", 1);
            let mut calls: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = vec![
                Box::pin(async { drop(storage.record_usage(&records).await) }),
                Box::pin(async { drop(storage.update_org(&changed, 98).await) }),
                Box::pin(async { drop(storage.swap_fallback(&org_scope(), today, &state, noon_plus(1)).await) }),
                Box::pin(async { drop(storage.tenant(&org_scope()).await) }),
            ];
            for call in &mut calls {
                for _ in 0..polls {
                    if futures::poll!(call.as_mut()).is_ready() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_micros(100)).await;
                }
            }
        }
        let mut shell = database.shell().await;
        until(&mut shell, BUSY, 0).await;
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE a.datname = current_database() AND a.application_name = 'bedrock-cost-keeper'";
        until(&mut shell, locks, 0).await;
        // What is written now is committed: no connection is still in somebody's transaction.
        for n in 0..12 {
            storage.record_usage(&[usage("blog", n)]).await.unwrap();
        }
        let committed = "SELECT count(*) FROM usage_records WHERE app_id = 'blog'";
        assert_eq!(number(&mut shell, committed).await, 12);
    }
}

#[tokio::test]
async fn connections_the_server_has_ended_cost_no_answer() {
    let database = Database::new().await;
    let storage = database.storage().await;
    storage.create_org(&org(acme()), &sealed_client(org_scope(), 1, noon_plus(1))).await.unwrap();
    let mut shell = database.shell().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'bedrock-cost-keeper'";
    for n in 0..5 {
        // Several, all of them gone when they are needed next.
        futures::future::join_all((0..4).map(|_| storage.ping())).await;
        assert!(number(&mut shell, end).await >= 1);
        let outcomes = storage.record_usage(&[usage("shop", n)]).await.unwrap();
        assert!(matches!(outcomes[..], [RecordOutcome::Accepted(_)]), "{outcomes:?}");
    }
    // Also what may not be repeated: it had not begun.
    futures::future::join_all((0..4).map(|_| storage.ping())).await;
    assert!(number(&mut shell, end).await >= 1);
    let taken = storage.take_secret(&client(org_scope(), 1).credential.client_id, &[1; 32], noon()).await.unwrap();
    assert!(matches!(taken, TakenSecret::Taken(_)));
    storage.close().await;
}
