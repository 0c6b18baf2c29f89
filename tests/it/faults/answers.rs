//! What DynamoDB answers under pressure, and what becomes of it.

use std::sync::Arc;

use super::load::{application, counts_exactly};
use super::{behind_a_proxy, impatient};
use crate::support::proxy::Proxy;
use crate::support::server::{TestServer, request_id};
use crate::support::stores;
use crate::support::tenants::{Tenant, cost};

async fn serving() -> (Arc<TestServer>, Arc<Proxy>) {
    let (store, proxy) = behind_a_proxy(stores::dynamodb().await).await;
    let server = TestServer::on(Arc::new(store), |setup| setup.storage_options = impatient()).await;
    (Arc::new(server), proxy)
}

async fn submit(chat: &Tenant<'_>, n: u32) -> crate::support::client::Reply {
    chat.post("/costs", &cost(&request_id(n), "premium", u64::from(n))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_calls_are_repeated_and_end_with_503_when_it_goes_on() {
    let (server, proxy) = serving().await;
    let chat = application(&server).await;
    proxy.answer_error(2, Some("TransactWriteItems"), "ProvisionedThroughputExceededException");
    assert_eq!(submit(&chat, 1).await.ok(202)["duplicate"], false);
    proxy.answer_error(2, Some("TransactWriteItems"), "ThrottlingException");
    assert_eq!(submit(&chat, 2).await.ok(202)["duplicate"], false);

    proxy.answer_error(1_000, Some("TransactWriteItems"), "ProvisionedThroughputExceededException");
    let before = proxy.requests("TransactWriteItems");
    submit(&chat, 3).await.error(503, "SERVICE_UNAVAILABLE");
    let attempts = proxy.requests("TransactWriteItems") - before;
    assert!((2..=20).contains(&attempts), "{attempts} attempts");
    counts_exactly(&chat, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_collide_are_repeated() {
    let (server, proxy) = serving().await;
    let chat = application(&server).await;
    for (n, reasons) in [&["TransactionConflict"][..], &["None", "TransactionConflict"], &["None", "ThrottlingError"]]
        .iter()
        .enumerate()
    {
        proxy.cancel_transactions(3, reasons);
        assert_eq!(submit(&chat, u32::try_from(n).unwrap() + 1).await.ok(202)["duplicate"], false);
    }
    counts_exactly(&chat, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_collide_for_ever_end_with_503_and_count_nothing() {
    let (server, proxy) = serving().await;
    let chat = application(&server).await;
    proxy.cancel_transactions(1_000, &["TransactionConflict"]);
    submit(&chat, 1).await.error(503, "SERVICE_UNAVAILABLE");
    counts_exactly(&chat, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_counts_once_and_is_no_duplicate() {
    let (server, proxy) = serving().await;
    let chat = application(&server).await;
    for n in 1..=5 {
        proxy.drop_answers(1, "TransactWriteItems");
        // Repeated with the token of the first attempt, it is answered as the first attempt was.
        assert_eq!(submit(&chat, n).await.ok(202)["duplicate"], false);
    }
    counts_exactly(&chat, 5).await;
}
