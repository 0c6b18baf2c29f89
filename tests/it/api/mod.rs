//! The HTTP contract, resource by resource, over real HTTP.

mod aggregates;
mod aggregates_range;
mod apps;
mod audit;
mod audit_failures;
mod audit_list;
mod audit_refusals;
mod authorization;
mod connections;
mod credentials;
mod credentials_ended;
mod credentials_races;
mod fallback;
mod hostile;
mod import;
mod jwks;
mod login_throttle;
mod models;
mod orgs;
mod profiles;
#[cfg(feature = "aws")]
mod profiles_resolved;
mod public;
mod rate_limits;
mod reprice;
mod selection;
mod selection_cache;
mod tokens;
mod tokens_revoked;
mod tokens_signing;
mod transport;
mod usage;
mod usage_batch;
mod usage_request;
