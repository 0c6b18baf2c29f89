//! The HTTP contract, resource by resource, over real HTTP.

mod aggregates;
mod aggregates_range;
mod apps;
mod authorization;
mod credentials;
mod fallback;
mod import;
mod models;
mod orgs;
mod profiles;
#[cfg(feature = "aws")]
mod profiles_resolved;
mod public;
mod reprice;
mod selection;
mod selection_cache;
mod tokens;
mod tokens_revoked;
mod transport;
mod usage;
mod usage_batch;
mod usage_request;
