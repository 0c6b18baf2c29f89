//! When the store cannot commit, the queue is full, a client goes away or the process stops.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bedrock_cost_keeper::service::error::ServiceError;
use bedrock_cost_keeper::service::ingest::Ingest;
use bedrock_cost_keeper::storage::{RecordOutcome, Storage, UsageLedger as _};
use futures::future::{FutureExt as _, join_all};
use serde_json::json;

use crate::support::faulty::{Fault, FaultyStore};
use crate::support::samples::{acme, app_id, day, label, usage as record};
use crate::support::server::{TestServer, request_id};
use crate::support::stores::{self, FreshStore};
use crate::support::tenants::{cost, usage};

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_counts_nothing_of_it() {
    let server = TestServer::with(|setup| setup.config.metering.queue_capacity = 100).await;
    let chat = server.chat(json!({})).await;
    let batch = json!({"requests": (0..100).map(|n| cost(&request_id(n), "premium", 1)).collect::<Vec<_>>()});
    server.store.close_gate();
    let single = cost(&request_id(1000), "premium", 1);
    let fill = chat.post("/costs/batch", &batch);
    let refuse = async {
        server.store.record_called(1).await;
        let refused = chat.post("/costs", &single).await.error(503, "SERVICE_UNAVAILABLE");
        chat.post("/costs/batch", &json!({"requests": [single]})).await.error(503, "SERVICE_UNAVAILABLE");
        // Reading goes on.
        chat.selection().await.ok(200);
        server.store.open_gate();
        refused
    };
    let (filled, refused) = tokio::join!(fill.into_future(), refuse);
    assert_eq!(filled.ok(207)["accepted"], 100);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 100);
    // There is room again, and the refused id is free.
    assert_eq!(chat.post("/costs", &single).await.ok(202)["duplicate"], false);
}

#[tokio::test]
async fn a_store_that_cannot_commit_is_a_503_nothing_is_counted_and_it_recovers() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = usage(&request_id(1), "premium");
    let batch = json!({"requests": [usage(&request_id(2), "premium"), usage(&request_id(3), "premium")]});
    for fault in [Fault::Unavailable, Fault::Backend] {
        server.store.fail_records(fault);
        let reply = chat.post("/usage", &body).await.error(503, "SERVICE_UNAVAILABLE");
        assert_eq!(reply.header("retry-after"), "1");
        chat.post("/usage/batch", &batch).await.error(503, "SERVICE_UNAVAILABLE");
        assert_eq!(chat.today().await["models"]["premium"]["requests"], 0);
    }
    server.store.fail_records(None);
    assert_eq!(chat.post("/usage", &body).await.ok(202)["duplicate"], false);
    assert_eq!(chat.post("/usage/batch", &batch).await.ok(207)["accepted"], 2);
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 3);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_counts_once_when_repeated() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = usage(&request_id(1), "premium");
    server.store.fail_records(Fault::AnswerLost);
    chat.post("/usage", &body).await.error(503, "SERVICE_UNAVAILABLE");
    server.store.fail_records(None);
    assert_eq!(chat.post("/usage", &body).await.ok(202)["duplicate"], true);
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 1);
}

#[tokio::test]
async fn a_client_that_goes_away_neither_loses_its_submission_nor_blocks_the_queue() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    server.store.close_gate();
    let batch = json!({"requests": (0..100).map(|n| cost(&request_id(n), "premium", 1)).collect::<Vec<_>>()});
    {
        let mut leaving = chat.post("/costs/batch", &batch).into_future();
        tokio::select! {
            _ = &mut leaving => panic!("nothing is committed yet"),
            () = server.store.record_called(1) => {}
        }
        // Dropped here: its connection is closed.
    }
    server.store.open_gate();
    server.store.record_ended(1).await;
    let repeat = chat.post("/costs/batch", &batch).await.ok(207);
    let duplicates = repeat["results"].as_array().unwrap().iter().filter(|result| result["duplicate"] == true).count();
    assert_eq!(duplicates, 100, "it was committed");
    assert_eq!(chat.today().await["models"]["premium"]["requests"], 100);
    assert_eq!(chat.post("/costs", &cost(&request_id(999), "premium", 1)).await.ok(202)["duplicate"], false);
}

/// A store whose commits wait, and the queue in front of it.
struct Queue {
    store: Arc<FaultyStore>,
    ingest: Ingest,
    _fresh: FreshStore,
}

async fn queue(capacity: usize) -> Queue {
    let fresh = stores::sqlite().await;
    let store = Arc::new(FaultyStore::over(fresh.migrated().await));
    let ingest = Ingest::start(Arc::clone(&store) as Arc<dyn Storage>, capacity);
    store.close_gate();
    Queue { store, ingest, _fresh: fresh }
}

type Submitted<'a> = Pin<Box<dyn Future<Output = Result<Vec<RecordOutcome>, ServiceError>> + 'a>>;

/// Polling a submission once puts it into the queue.
fn enqueue(submissions: &mut [Submitted<'_>]) {
    for submission in submissions {
        assert!(submission.as_mut().now_or_never().is_none());
    }
}

impl Queue {
    fn submit(&self, ids: Range<u128>) -> Vec<Submitted<'_>> {
        ids.map(|n| -> Submitted<'_> { Box::pin(self.ingest.submit(vec![record("shop", n)])) }).collect()
    }

    async fn requests(&self) -> u64 {
        let totals =
            self.store.label_totals(acme(), &app_id("shop"), &label("premium"), day("2026-01-23")).await.unwrap();
        totals.org.day.requests
    }
}

fn accepted(outcome: &Result<Vec<RecordOutcome>, ServiceError>) -> bool {
    matches!(outcome, Ok(outcomes) if outcomes.iter().all(|outcome| matches!(outcome, RecordOutcome::Accepted(_))))
}

#[tokio::test]
async fn draining_commits_what_is_queued_and_refuses_what_comes_later() {
    let queue = queue(1000).await;
    let mut under_way = queue.submit(0..10);
    enqueue(&mut under_way);
    queue.store.record_called(1).await;
    let mut queued = queue.submit(10..20);
    enqueue(&mut queued);
    let mut drain = Box::pin(queue.ingest.drain());
    assert!(drain.as_mut().now_or_never().is_none(), "it waits for what is queued");
    queue.store.open_gate();
    let (mut outcomes, rest, ()) = tokio::join!(join_all(under_way), join_all(queued), drain);
    outcomes.extend(rest);
    assert!(outcomes.iter().all(accepted), "{outcomes:?}");
    assert_eq!(queue.requests().await, 20);
    let late = queue.ingest.submit(vec![record("shop", 99)]).await;
    assert!(matches!(late, Err(ServiceError::Unavailable(_))), "{late:?}");
    assert_eq!(queue.requests().await, 20);
}

#[tokio::test]
async fn submissions_that_arrive_during_a_commit_share_the_next_one() {
    let queue = queue(1000).await;
    let mut first = queue.submit(0..1);
    enqueue(&mut first);
    queue.store.record_called(1).await;
    let mut rest = queue.submit(1..50);
    enqueue(&mut rest);
    queue.store.open_gate();
    assert!(join_all(first.into_iter().chain(rest)).await.iter().all(accepted));
    assert_eq!((queue.store.record_calls(), queue.requests().await), (2, 50));
}

#[tokio::test]
async fn a_group_the_store_refuses_is_answered_as_unavailable_like_a_lone_submission() {
    for fault in [Fault::Backend, Fault::Unavailable] {
        let queue = queue(1000).await;
        queue.store.fail_records(fault);
        let mut submitted = queue.submit(0..5);
        enqueue(&mut submitted);
        queue.store.open_gate();
        for outcome in join_all(submitted).await {
            assert!(matches!(outcome, Err(ServiceError::Unavailable(_))), "{fault:?}: {outcome:?}");
        }
        queue.store.fail_records(None);
        assert_eq!(queue.requests().await, 0);
        assert!(accepted(&queue.ingest.submit(vec![record("shop", 0)]).await));
    }
}

#[tokio::test]
async fn a_store_with_a_mistake_in_it_does_not_end_the_queue() {
    let server = TestServer::start().await;
    let chat = server.chat(json!({})).await;
    let body = usage(&request_id(1), "premium");
    server.store.fail_next_record(Fault::Panic);
    chat.post("/usage", &body).await.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(chat.post("/usage", &body).await.ok(202)["duplicate"], false);
}

#[tokio::test]
async fn stopping_finishes_requests_in_flight() {
    let server = TestServer::start().await;
    let (path, answer) = {
        let chat = server.chat(json!({})).await;
        server.store.close_gate();
        let mut answer = chat.post("/usage", &usage(&request_id(1), "premium")).into_future();
        tokio::select! {
            _ = &mut answer => panic!("nothing is committed yet"),
            () = server.store.record_called(1) => {}
        }
        (chat.path.clone(), answer)
    };
    let store = Arc::clone(&server.store);
    let open = async {
        tokio::task::yield_now().await;
        store.open_gate();
    };
    let (reply, data, ()) = tokio::join!(answer, server.stop(), open);
    reply.ok(202);
    let again = TestServer::with(|setup| {
        setup.data = data;
        setup.seed = 2;
    })
    .await;
    let today = again.get(&format!("{path}/aggregates/today")).admin().await.ok(200);
    assert_eq!(today["total_cost_usd_micros"], 3760);
}

#[tokio::test]
async fn what_one_submission_breaks_does_not_reach_the_others_of_its_group() {
    // A store that refuses a group may accept its parts: each gets its own try.
    let queue = queue(1000).await;
    let mut submitted = queue.submit(0..3);
    enqueue(&mut submitted);
    queue.store.fail_next_record(Fault::Backend);
    queue.store.open_gate();
    assert!(join_all(submitted).await.iter().all(accepted));
    assert_eq!(queue.requests().await, 3);
}
