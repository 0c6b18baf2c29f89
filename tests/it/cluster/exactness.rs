//! Totals are exact, whoever submits where and how often.

use futures::StreamExt as _;
use serde_json::json;

use super::instances::{Dice, Instances, sum_up_to};
use crate::support::stores::FreshStore;

const SUBMISSIONS: u64 = 50_000;
/// Clients at once.
const CLIENTS: usize = 24;

/// A request of the plan: these numbers, first sent to that instance.
struct Request {
    instance: usize,
    numbers: Vec<u64>,
}

/// Every number at least once: most in batches, some alone; one request in five is sent a second time, elsewhere.
fn plan() -> Vec<Request> {
    let mut dice = Dice::new(20_260_123);
    let (mut plan, mut next) = (Vec::new(), 1);
    while next <= SUBMISSIONS {
        let alone = dice.roll(2) == 0;
        let size = if alone { 1 } else { 20 + dice.roll(80) };
        let last = (next + size - 1).min(SUBMISSIONS);
        let numbers: Vec<u64> = (next..=last).collect();
        let instance = usize::try_from(dice.roll(3)).unwrap();
        if dice.roll(5) == 0 {
            plan.push(Request { instance: instance + 1, numbers: numbers.clone() });
        }
        plan.push(Request { instance, numbers });
        next = last + 1;
    }
    // Not in order, but repeats stay near each other, so that they meet.
    for chunk in plan.chunks_mut(64) {
        for n in (1..chunk.len()).rev() {
            chunk.swap(n, usize::try_from(dice.roll(n as u64 + 1)).unwrap());
        }
    }
    plan
}

pub(super) async fn fifty_thousand_mixed_submissions_with_retries_count_exactly_once(store: FreshStore) {
    let instances = Instances::start(store, 3).await;
    let token = instances.provision(&json!({"premium": 1_000_000_000_000_u64})).await;
    let submitter = instances.submitter(&token);
    futures::stream::iter(plan())
        .for_each_concurrent(CLIENTS, |Request { instance, numbers }| {
            let submitter = submitter.clone();
            async move {
                match numbers[..] {
                    [number] => {
                        submitter.submit(instance, number).await;
                    }
                    _ => submitter.submit_batch(instance, &numbers).await,
                }
            }
        })
        .await;
    for n in 0..3 {
        let totals = instances.today(n, &token).await;
        assert_eq!(totals["models"]["premium"]["requests"], SUBMISSIONS, "instance {n}");
        assert_eq!(totals["total_cost_usd_micros"], sum_up_to(SUBMISSIONS), "instance {n}");
        assert_eq!(totals["month"]["cost_usd_micros"], sum_up_to(SUBMISSIONS), "instance {n}");
    }
}
