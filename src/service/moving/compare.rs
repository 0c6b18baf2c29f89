//! What differs between a file and what a store has. Pure.

use super::lines::{MovedApp, MovedCredential, MovedOrg};
use crate::domain::credential::ClientCredential;
use crate::domain::profile::InferenceProfile;
use crate::domain::tenant::{App, Org};
use crate::domain::usage::Counters;
use crate::service::import::differing;
use crate::storage::{DailyTotal, DailyTotalKey};

/// What a difference of credentials is called.
const SECRET: &str = "client secret";

/// Names of what differs about an organization. Versions and instants do not count: they tell about its past.
pub(super) fn org_differences(here: &Org, credential: Option<&ClientCredential>, moved: &MovedOrg) -> Vec<String> {
    let fields = differing(Some(&here.config), &moved.org.config);
    with_secret(fields, credential, &moved.credential)
}

/// Names of what differs about an application.
pub(super) fn app_differences(here: &App, credential: Option<&ClientCredential>, moved: &MovedApp) -> Vec<String> {
    let fields = differing(Some(&here.config), &moved.app.config);
    with_secret(fields, credential, &moved.credential)
}

fn with_secret(mut fields: Vec<String>, credential: Option<&ClientCredential>, moved: &MovedCredential) -> Vec<String> {
    let same = credential.is_some_and(|here| here.current == moved.current && here.previous == moved.previous);
    if !same {
        fields.push(SECRET.to_owned());
    }
    fields
}

/// Names of what differs about a profile.
pub(super) fn profile_differences(here: &InferenceProfile, moved: &InferenceProfile) -> Vec<String> {
    let mut fields = Vec::new();
    if here.arn != moved.arn {
        fields.push("inference_profile_arn".to_owned());
    }
    if here.description != moved.description {
        fields.push("description".to_owned());
    }
    fields
}

/// Names of counters that differ, with both values; empty where none does.
pub(super) fn counter_differences(here: &Counters, moved: &Counters) -> String {
    let texts = |counters: &Counters| {
        let Counters {
            cost,
            drift,
            requests,
            errors,
            unpriced_requests,
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_write_input_tokens,
        } = *counters;
        [
            ("cost_usd_picos", cost.get().to_string()),
            ("drift_usd_picos", drift.get().to_string()),
            ("requests", requests.to_string()),
            ("errors", errors.to_string()),
            ("unpriced_requests", unpriced_requests.to_string()),
            ("input_tokens", input_tokens.to_string()),
            ("output_tokens", output_tokens.to_string()),
            ("cache_read_input_tokens", cache_read_input_tokens.to_string()),
            ("cache_write_input_tokens", cache_write_input_tokens.to_string()),
        ]
    };
    let pairs = texts(here).into_iter().zip(texts(moved));
    let differing = pairs
        .filter(|(here, moved)| here != moved)
        .map(|((name, here), (_, moved))| format!("{name} {here} here, {moved} in the file"));
    differing.collect::<Vec<_>>().join("; ")
}

/// Where a total stands in the order of a range query.
pub(super) fn key_of(total: &DailyTotal) -> DailyTotalKey {
    DailyTotalKey { day: total.day, app_id: total.app_id.clone(), model_label: total.model_label.clone() }
}

fn place(total: &DailyTotal) -> impl Ord + '_ {
    (total.day, &total.app_id, &total.model_label)
}

/// Finds the totals of a batch among pages of what a store has. Both are in the order of a range query.
#[derive(Debug)]
pub(super) struct Matching<'a> {
    batch: &'a [DailyTotal],
    found: Vec<Option<Counters>>,
}

impl<'a> Matching<'a> {
    /// Nothing is found yet.
    pub(super) fn new(batch: &'a [DailyTotal]) -> Self {
        Self { batch, found: Vec::with_capacity(batch.len()) }
    }

    /// Goes through the next page.
    pub(super) fn page(&mut self, page: &[DailyTotal]) {
        let mut page = page.iter().peekable();
        while let (Some(wanted), Some(here)) = (self.batch.get(self.found.len()), page.peek()) {
            match place(here).cmp(&place(wanted)) {
                std::cmp::Ordering::Less => {
                    page.next();
                }
                std::cmp::Ordering::Equal => self.found.push(Some(here.counters)),
                std::cmp::Ordering::Greater => self.found.push(None),
            }
        }
    }

    /// Whether later pages can have nothing of the batch.
    pub(super) fn is_complete(&self) -> bool {
        self.found.len() == self.batch.len()
    }

    /// What the store has of each total of the batch.
    pub(super) fn finish(mut self) -> Vec<Option<Counters>> {
        self.found.resize(self.batch.len(), None);
        self.found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::money::{CostDrift, PicoUsd};
    use jiff::Timestamp;

    fn total(day: u32, app: &str, requests: u64) -> DailyTotal {
        DailyTotal {
            day: format!("2026-01-{day:02}").parse().unwrap(),
            app_id: Some(app.parse().unwrap()),
            model_label: "premium".parse().unwrap(),
            counters: Counters { requests, ..Counters::default() },
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn totals_of_a_batch_are_found_in_pages_of_any_size() {
        let here: Vec<_> = (1..=9).flat_map(|day| [total(day, "a", 1), total(day, "c", 2)]).collect();
        let batch = [
            total(2, "a", 0),
            total(2, "b", 0),
            total(2, "c", 0),
            total(5, "c", 0),
            total(9, "c", 0),
            total(9, "d", 0),
        ];
        for size in 1..=here.len() {
            let mut matching = Matching::new(&batch);
            for page in here.chunks(size) {
                matching.page(page);
            }
            let found: Vec<_> = matching.finish().iter().map(|found| found.map(|counters| counters.requests)).collect();
            assert_eq!(found, [Some(1), None, Some(2), Some(2), Some(2), None], "pages of {size}");
        }
        assert_eq!(Matching::new(&batch).finish(), [None; 6]);
    }

    #[test]
    fn a_matching_is_complete_as_soon_as_nothing_can_follow() {
        let batch = [total(2, "a", 0)];
        let mut matching = Matching::new(&batch);
        matching.page(&[total(1, "a", 1)]);
        assert!(!matching.is_complete());
        matching.page(&[total(2, "b", 1)]);
        assert!(matching.is_complete());
    }

    #[test]
    fn every_counter_that_differs_is_named_with_both_values() {
        let here = Counters { requests: 3, cost: PicoUsd::new(7), ..Counters::default() };
        let moved = Counters { requests: 3, drift: CostDrift::new(-1), ..Counters::default() };
        let text = counter_differences(&here, &moved);
        assert_eq!(text, "cost_usd_picos 7 here, 0 in the file; drift_usd_picos 0 here, -1 in the file");
        assert_eq!(counter_differences(&here, &here), "");
    }
}
