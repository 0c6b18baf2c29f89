//! The store's server is stopped under load, and started again.

use std::sync::Arc;

use super::impatient;
use super::load::{Load, application, counts_exactly, ready, wait_until};
use crate::support::server::TestServer;
use crate::support::stores::FreshStore;

/// Whether a server may be stopped in the middle of what it is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    AtAnyMoment,
    BetweenWrites,
}

async fn stopped_and_started(url: String, moment: Stop, stop: impl Fn(), start_again: impl Fn()) {
    let store = Arc::new(FreshStore::new(url, ()));
    // A server that has just started is slow at first; here only later failures matter.
    store.migrated().await;
    let server = Arc::new(
        TestServer::on(store, |setup| {
            setup.storage_options = impatient();
            setup.migrate = false;
        })
        .await,
    );
    let chat = application(&server).await;
    let load = Load::start(&server, &chat, 8);
    for _ in 0..2 {
        load.tally.further(100).await;
        if moment == Stop::BetweenWrites {
            load.tally.pause().await;
        }
        stop();
        load.tally.go_on();
        load.tally.refusal().await;
        wait_until("readiness turns", async || !ready(&server).await).await;
        assert_eq!(server.get("/health").await.status, 503);
        start_again();
        wait_until("readiness turns back", async || ready(&server).await).await;
        assert_eq!(server.get("/health").await.status, 200);
    }
    load.tally.further(100).await;
    let sent = load.finish().await;
    counts_exactly(&chat, sent).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_server_that_crashes_under_load_loses_nothing_that_was_accepted() {
    use crate::support::servers::Signal;
    use crate::support::servers::postgres::PostgresServer;
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let crash = || tokio::task::block_in_place(|| server.stop(Signal::Quit));
    stopped_and_started(server.url(), Stop::AtAnyMoment, crash, || {
        tokio::task::block_in_place(|| server.start_again());
    })
    .await;
}

// DynamoDB never keeps a part of a transaction, but DynamoDB Local does when it is stopped in the middle of one.
#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dynamodb_that_is_stopped_under_load_loses_nothing_that_was_accepted() {
    use crate::support::servers::dynamodb::DynamoDbServer;
    let server = tokio::task::spawn_blocking(DynamoDbServer::start).await.unwrap();
    let stop = || tokio::task::block_in_place(|| server.stop());
    stopped_and_started(server.url(), Stop::BetweenWrites, stop, || {
        tokio::task::block_in_place(|| server.start_again());
    })
    .await;
}
