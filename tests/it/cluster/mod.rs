//! Several instances, each a process of its own, on one store.
//!
//! Every rule runs on each store that several instances can share.
#![expect(clippy::print_stdout, reason = "how long it took is worth knowing")]

mod credentials;
mod exactness;
mod instances;
mod kill;
mod leadership;
mod visibility;

use crate::support::stores::on_every_shared_store;

on_every_shared_store! {
    exactness {
        fifty_thousand_mixed_submissions_with_retries_count_exactly_once
    }
    visibility {
        instances_started_at_once_on_an_empty_store_bring_it_up_to_date
        a_revoked_token_is_refused_here_at_once_and_elsewhere_within_five_seconds
        a_changed_configuration_is_seen_here_at_once_and_elsewhere_within_five_seconds
        every_instance_falls_back_to_the_same_model_and_stays_there
    }
    credentials {
        ended_access_is_refused_here_at_once_and_elsewhere_within_five_seconds
        a_rotation_without_grace_ends_the_old_secret_on_every_instance_at_once
        a_secret_is_retrieved_once_whichever_instances_are_asked
    }
    kill {
        killing_instances_at_random_moments_loses_nothing_and_doubles_nothing
    }
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_adds_up_totals_when_the_one_that_did_is_killed() {
    leadership::another_instance_adds_up_totals_when_the_one_that_did_is_killed(
        crate::support::stores::dynamodb().await,
    )
    .await;
}
