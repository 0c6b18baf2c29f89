//! Use cases, one file each. A service knows the domain and the storage contract, and nothing of HTTP or of which
//! store it runs on. Whoever calls one must hold an access value from [`access`], which only a successful
//! authorization yields: a route that forgets to authorize does not compile.

pub mod access;
pub mod aggregates;
pub mod audit;
pub mod consolidation;
pub mod credentials;
pub mod crypto;
pub mod error;
pub mod fallback;
pub mod health;
pub mod import;
pub mod ingest;
pub mod key_refresh;
pub mod metering;
pub mod models;
pub mod moving;
pub mod price_refresh;
pub mod pricing;
pub mod profiles;
pub mod rate_limits;
pub mod reprice;
pub mod selection;
pub mod signing;
pub mod tenants;
pub mod tokens;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::domain::catalog::LabelCatalog;
use crate::domain::ids::Scope;
use crate::domain::tenant::{Effective, TenantDefaults, effective};
use crate::ids::Random;
use crate::storage::{Storage, Tenant};

use self::access::ProvisioningKeys;
use self::audit::refusals::Refusals;
use self::consolidation::Consolidator;
use self::error::ServiceError;
use self::ingest::Ingest;
use self::key_refresh::KeyRefresh;
use self::price_refresh::PriceListState;
use self::pricing::Pricer;
use self::profiles::memo::ProfileMemo;
use self::rate_limits::RateLimiter;
use self::signing::TokenSigner;

/// Result of a use case.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// How long what the service issues lives. All configurable.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Access tokens.
    pub access_token: SignedDuration,
    /// Refresh tokens, and so sessions.
    pub refresh_token: SignedDuration,
    /// One-time secret-retrieval tokens.
    pub secret_retrieval: SignedDuration,
}

/// All use cases over one store.
#[derive(Debug)]
pub struct Services {
    /// Where state lives.
    pub storage: Arc<dyn Storage>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws randomness.
    pub random: Arc<dyn Random>,
    /// What each label means.
    pub catalog: LabelCatalog,
    /// Prices of calls.
    pub pricer: Pricer,
    /// The AWS Price List in force.
    pub price_list: PriceListState,
    /// What is behind opaque inference profiles.
    pub profiles: ProfileMemo,
    /// Defaults below organization and application.
    pub defaults: TenantDefaults,
    /// How long what is issued lives.
    pub lifetimes: Lifetimes,
    /// Signs and verifies tokens.
    pub signer: Arc<TokenSigner>,
    /// Keys of administrators.
    pub provisioning_keys: Arc<ProvisioningKeys>,
    /// Reads keys again, where they are kept outside the configuration.
    pub key_refresh: Option<Arc<KeyRefresh>>,
    /// The one way into the usage ledger.
    pub ingest: Ingest,
    /// Counts requests against their limits; `None` where there are none.
    pub rate_limiter: Option<RateLimiter>,
    /// Refusals on their way into the audit trail.
    pub refusals: Refusals,
    /// Keeps totals fresh where the store does not by itself.
    pub consolidator: Consolidator,
}

impl Services {
    /// Now, from the injected clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A registered organization (and application, where the scope names one) with its effective configuration.
    /// [`ServiceError::NotFound`] where it is not registered.
    pub(crate) async fn registered(&self, scope: &Scope) -> Result<(Tenant, Effective)> {
        let tenant = self.storage.tenant(scope).await?.ok_or(ServiceError::NotFound("organization"))?;
        if scope.app_id.is_some() && tenant.app.is_none() {
            return Err(ServiceError::NotFound("application"));
        }
        let effective = self.effective(&tenant)?;
        Ok((tenant, effective))
    }

    /// The configuration in effect for a stored tenant.
    pub(crate) fn effective(&self, tenant: &Tenant) -> Result<Effective> {
        effective(&tenant.org, tenant.app.as_ref(), &self.defaults).map_err(|e| ServiceError::Internal(e.to_string()))
    }
}
