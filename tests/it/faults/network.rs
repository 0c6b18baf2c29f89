//! A network that fails between the service and its store.

use std::sync::Arc;
use std::time::Duration;

use super::load::{Load, application, counts_exactly, ready, wait_until};
use super::{behind_a_proxy, impatient};
use crate::support::server::TestServer;
use crate::support::stores::FreshStore;

const CLIENTS: usize = 8;

async fn serving(store: FreshStore) -> Arc<TestServer> {
    Arc::new(TestServer::on(Arc::new(store), |setup| setup.storage_options = impatient()).await)
}

pub(super) async fn cut_connections_cost_repeats_and_nothing_else(store: FreshStore) {
    let (store, proxy) = behind_a_proxy(store).await;
    let server = serving(store).await;
    let chat = application(&server).await;
    let load = Load::start(&server, &chat, CLIENTS);
    for _ in 0..10 {
        load.tally.further(30).await;
        proxy.cut();
    }
    load.tally.further(30).await;
    let sent = load.finish().await;
    counts_exactly(&chat, sent).await;
}

pub(super) async fn a_slow_store_is_waited_for(store: FreshStore) {
    let (store, proxy) = behind_a_proxy(store).await;
    let server = serving(store).await;
    let chat = application(&server).await;
    proxy.delay(Duration::from_millis(30), Duration::from_millis(30));
    let load = Load::start(&server, &chat, CLIENTS);
    load.tally.further(60).await;
    assert!(ready(&server).await);
    let sent = load.finish().await;
    proxy.pass();
    counts_exactly(&chat, sent).await;
}

/// Breaks the network under load and mends it again.
async fn breaks_and_mends(store: FreshStore, break_it: impl Fn(&crate::support::proxy::Proxy)) {
    let (store, proxy) = behind_a_proxy(store).await;
    let server = serving(store).await;
    let chat = application(&server).await;
    let load = Load::start(&server, &chat, CLIENTS);
    for _ in 0..2 {
        load.tally.further(50).await;
        break_it(&proxy);
        // Each client's answers are timed by the load itself.
        load.tally.refusal().await;
        wait_until("readiness turns", async || !ready(&server).await).await;
        assert_eq!(server.get("/livez").await.status, 200, "restarting it would not help");
        let selection = chat.selection().await;
        selection.error(503, "SERVICE_UNAVAILABLE");
        proxy.pass();
        wait_until("readiness turns back", async || ready(&server).await).await;
    }
    load.tally.further(50).await;
    let sent = load.finish().await;
    counts_exactly(&chat, sent).await;
}

pub(super) async fn a_store_that_does_not_answer_fails_fast_and_is_used_again_when_it_does(store: FreshStore) {
    breaks_and_mends(store, |proxy| proxy.black_hole()).await;
}

pub(super) async fn a_store_that_refuses_connections_fails_fast_and_is_used_again_when_it_does_not(store: FreshStore) {
    breaks_and_mends(store, |proxy| {
        proxy.refuse();
        proxy.cut();
    })
    .await;
}
