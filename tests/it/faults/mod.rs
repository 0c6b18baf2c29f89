//! A store that goes away, hangs, is slow or throttles: requests fail fast, nothing accepted is lost, nothing counts
//! twice, and everything recovers by itself.

#[cfg(feature = "dynamodb")]
mod answers;
mod load;
mod network;
mod stopped;

use std::time::Duration;

use bedrock_cost_keeper::storage::{DynamoDbOptions, PostgresOptions, StorageOptions};

use crate::support::proxy::Proxy;
use crate::support::stores::{FreshStore, on_every_shared_store};

/// As patient as a test can afford; the proportions are those of the defaults.
fn impatient() -> StorageOptions {
    StorageOptions {
        postgres: PostgresOptions {
            acquire_timeout: Duration::from_millis(600),
            statement_timeout: Duration::from_millis(600),
            ..PostgresOptions::default()
        },
        dynamodb: DynamoDbOptions {
            attempt_timeout: Duration::from_millis(400),
            operation_timeout: Duration::from_millis(1_200),
            ..DynamoDbOptions::default()
        },
    }
}

/// A refusal takes no longer than the store's patience, twice (a request may wait for the commit before its own), and
/// some time for a busy machine.
const FAST: Duration = Duration::from_secs(6);

/// A store whose connections go through a proxy.
async fn behind_a_proxy(store: FreshStore) -> (FreshStore, std::sync::Arc<Proxy>) {
    let address = address_in(store.url());
    let proxy = std::sync::Arc::new(Proxy::to(address.parse().expect("an address of this machine")).await);
    let url = store.url().replace(address, &proxy.address().to_string());
    (FreshStore::new(url, (store, std::sync::Arc::clone(&proxy))), proxy)
}

/// Host and port of a store's server.
fn address_in(url: &str) -> &str {
    let start = url.rfind("http://").map_or_else(|| url.rfind('@').expect("user@host") + 1, |at| at + 7);
    let rest = &url[start..];
    &rest[..rest.find(['/', '&', '?']).unwrap_or(rest.len())]
}

#[test]
fn the_address_of_a_stores_server_is_found_in_its_url() {
    assert_eq!(address_in("postgres://u:p@127.0.0.1:5432/x?a=b"), "127.0.0.1:5432");
    assert_eq!(address_in("dynamodb://k:s@?region=r&endpoint=http://127.0.0.1:8000&table_prefix=t-"), "127.0.0.1:8000");
}

on_every_shared_store! {
    network {
        cut_connections_cost_repeats_and_nothing_else
        a_slow_store_is_waited_for
        a_store_that_does_not_answer_fails_fast_and_is_used_again_when_it_does
        a_store_that_refuses_connections_fails_fast_and_is_used_again_when_it_does_not
    }
}
