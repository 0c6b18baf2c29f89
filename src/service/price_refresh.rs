//! The AWS Price List in force: fetched when the stored one is old, judged as a whole, stored, shared by all instances.
//!
//! Whatever goes wrong, the last good prices stay in force: first those this instance has, then those of the store up
//! to their greatest age, and the embedded ones below them always.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::Services;
use crate::domain::pricing::price_list::{
    Accepted, DocumentError, Limits, PriceList, Quarantine, Refusal, Skip, from_document, parse, to_document, validate,
};
use crate::domain::pricing::{PriceBook, PriceCatalog, PriceSource, SnapshotError, embedded};
use crate::storage::{StorageError, StoredPrices};

/// Where price-list strings come from.
#[async_trait]
pub trait PriceFeed: fmt::Debug + Send + Sync {
    /// Every product of a publication, one price-list string each. Bounded in time and size.
    async fn fetch(&self) -> Result<Vec<String>, FeedError>;
}

/// Why nothing could be fetched. The text is for an operator: it names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Not reachable, too slow or failing: try again later.
    #[error("the price list is not available: {0}")]
    Unavailable(String),
    /// Refused for a reason that stays, such as missing permission.
    #[error("the price list was refused: {0}")]
    Refused(String),
    /// An answer that makes no sense, or has no end.
    #[error("the price list answered nonsense: {0}")]
    Nonsense(String),
}

/// When to fetch and what to believe.
#[derive(Debug, Clone, Copy)]
pub struct RefreshPolicy {
    /// Age from which the stored list is fetched anew.
    pub fetch_after: SignedDuration,
    /// Age up to which the stored list, and a row that is no longer published, stays in force.
    pub max_age: SignedDuration,
    /// Fewest usable rows of a publication.
    pub min_rows: usize,
}

impl RefreshPolicy {
    /// Fetched daily. AWS publishes thousands of rows, so a hundred tell a publication from a remnant of one.
    #[must_use]
    pub fn daily(max_age_days: u32) -> Self {
        let days = |days| SignedDuration::from_hours(24 * i64::from(days));
        Self { fetch_after: days(1), max_age: days(max_age_days), min_rows: 100 }
    }
}

/// What a refresh came to.
#[derive(Debug)]
pub enum Refreshed {
    /// What is in force is fresh.
    Fresh,
    /// Another instance had fetched; its list is in force now.
    Loaded,
    /// A new publication is stored and in force.
    Fetched(Box<FetchReport>),
}

/// What a fetch came to, for the log.
#[derive(Debug)]
pub struct FetchReport {
    /// Version of the publication.
    pub version: Arc<str>,
    /// Products read.
    pub products: usize,
    /// Rows in force.
    pub rows: usize,
    /// Rows of it that are no longer published.
    pub kept: usize,
    /// Prices rounded up to a whole pico-dollar.
    pub rounded: u64,
    /// Rows left out, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Names no model is known by, the first few of them.
    pub unknown_names: Vec<String>,
    /// Models that stay at their old prices.
    pub quarantined: BTreeMap<Box<str>, Quarantine>,
}

/// Why prices stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The feed failed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The publication is not believed.
    #[error("the price list is refused: {0}")]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// What was made of the publication cannot be used, which a test rules out.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<DocumentError> for RefreshError {
    fn from(error: DocumentError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// The price list in force on this instance.
#[derive(Debug, Default)]
pub struct PriceListState(Mutex<Option<InForce>>);

#[derive(Debug, Clone)]
struct InForce {
    list: Arc<PriceList>,
    source: PriceSource,
    fetched_at: Timestamp,
}

/// The price list in force, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceListStatus {
    /// Fetched by this instance, or loaded from the store.
    pub source: PriceSource,
    /// Version of the publication.
    pub version: Arc<str>,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// Seconds since then.
    pub age_secs: u64,
    /// Rows.
    pub rows: usize,
    /// Models that stay at older prices because the newest were not believed.
    pub quarantined: Vec<String>,
}

impl PriceListState {
    fn get(&self) -> Option<InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, in_force: Option<InForce>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
    }
}

impl Services {
    /// The price list in force; `None` where prices come from elsewhere only.
    #[must_use]
    pub fn price_list(&self) -> Option<PriceListStatus> {
        let InForce { list, source, fetched_at } = self.price_list.get()?;
        Some(PriceListStatus {
            source,
            version: Arc::clone(&list.version),
            fetched_at,
            age_secs: u64::try_from(self.now().duration_since(fetched_at).as_secs()).unwrap_or(0),
            rows: list.len(),
            quarantined: list.quarantined.iter().map(ToString::to_string).collect(),
        })
    }

    /// Puts a list in force, or none, in its place among the sources: below the operator's, above the embedded one.
    fn put_in_force(&self, in_force: Option<InForce>) -> Result<(), RefreshError> {
        let books = match &in_force {
            Some(InForce { list, source, .. }) => {
                list.books(*source).map_err(|duplicate| RefreshError::Internal(duplicate.to_string()))?
            }
            None => Vec::new(),
        };
        let catalog = self.pricer.catalog();
        let others = || {
            let of_list =
                |book: &&Arc<PriceBook>| matches!(book.source(), PriceSource::PricingApi | PriceSource::Cached);
            catalog.books().iter().filter(move |book| !of_list(book)).map(Arc::clone)
        };
        let first = others().filter(|book| book.source() == PriceSource::Config);
        let last = others().filter(|book| book.source() != PriceSource::Config);
        self.pricer.replace(PriceCatalog::new(first.chain(books.into_iter().map(Arc::new)).chain(last).collect()));
        self.price_list.set(in_force);
        Ok(())
    }
}

/// What the store has.
struct Stored {
    fetched_at: Timestamp,
    /// `None` where it cannot be read: it is replaced by the next fetch.
    list: Option<Arc<PriceList>>,
    /// Whether this call put it in force.
    loaded: bool,
}

/// Puts the stored list in force where it is another than the one in force, and ends one that is too old. Needs no
/// AWS, so it is what a start begins with.
///
/// # Errors
/// [`RefreshError::Store`]; then nothing changes.
pub async fn load(services: &Services, policy: RefreshPolicy) -> Result<(), RefreshError> {
    load_stored(services, policy).await.map(|_| ())
}

async fn load_stored(services: &Services, policy: RefreshPolicy) -> Result<Option<Stored>, RefreshError> {
    let now = services.now();
    let oldest = now.checked_sub(policy.max_age).unwrap_or(Timestamp::MIN);
    let in_force = services.price_list.get();
    let Some(fetched_at) = services.storage.prices_fetched_at().await? else { return Ok(None) };
    if let Some(in_force) = in_force.filter(|in_force| in_force.fetched_at == fetched_at) {
        if fetched_at < oldest {
            tracing::warn!(version = %in_force.list.version, "the price list is too old and no longer in force");
            services.put_in_force(None)?;
        }
        return Ok(Some(Stored { fetched_at, list: Some(in_force.list), loaded: false }));
    }
    let Some(StoredPrices { fetched_at, document, .. }) = services.storage.prices().await? else { return Ok(None) };
    let read = blocking(move || from_document(&document)).await?;
    let list = match read {
        Ok(list) => list,
        Err(error) => {
            tracing::warn!(%error, "the stored price list is not used");
            return Ok(Some(Stored { fetched_at, list: None, loaded: false }));
        }
    };
    // What is too old to be in force still tells a jump from a change.
    let loaded = fetched_at >= oldest;
    if loaded {
        let fresh = Arc::new(list.clone().without_stale(oldest));
        services.put_in_force(Some(InForce { list: fresh, source: PriceSource::Cached, fetched_at }))?;
    } else {
        services.put_in_force(None)?;
    }
    Ok(Some(Stored { fetched_at, list: Some(Arc::new(list)), loaded }))
}

/// Puts the newest believable price list in force: the stored one, or where that is old the one fetched now.
///
/// # Errors
/// [`RefreshError`]; then the last good prices stay in force.
pub async fn refresh(
    services: &Services,
    feed: &dyn PriceFeed,
    policy: RefreshPolicy,
) -> Result<Refreshed, RefreshError> {
    let stored = load_stored(services, policy).await?;
    let readable = stored.as_ref().filter(|stored| stored.list.is_some());
    if let Some(stored) = readable.filter(|stored| is_fresh(stored.fetched_at, services.now(), policy)) {
        return Ok(if stored.loaded { Refreshed::Loaded } else { Refreshed::Fresh });
    }
    let items = feed.fetch().await?;
    let replaces = stored.as_ref().map(|stored| stored.fetched_at);
    // The instant names the list, so two lists never share one.
    let fetched_at = services.now();
    let fetched_at = match replaces {
        Some(replaced) if replaced == fetched_at => fetched_at
            .saturating_add(SignedDuration::from_millis(1))
            .map_err(|error| RefreshError::Internal(error.to_string()))?,
        _ => fetched_at,
    };
    let known = embedded_book(services).map_err(|error| RefreshError::Internal(error.to_string()))?;
    let previous = stored.and_then(|stored| stored.list);
    let limits = Limits { min_rows: policy.min_rows, keep_for: policy.max_age };
    let (list, document, report) =
        blocking(move || digest(&items, previous.as_deref(), &known, limits, fetched_at)).await??;
    let prices = StoredPrices { version: list.version.to_string(), fetched_at, document };
    if !services.storage.put_prices(&prices, replaces).await? {
        // Another instance was faster: everybody has the same list.
        load_stored(services, policy).await?;
        return Ok(Refreshed::Loaded);
    }
    services.put_in_force(Some(InForce { list: Arc::new(list), source: PriceSource::PricingApi, fetched_at }))?;
    Ok(Refreshed::Fetched(Box::new(report)))
}

/// A list from the future, written under a wrong clock, is not fresh for ever.
fn is_fresh(fetched_at: Timestamp, now: Timestamp, policy: RefreshPolicy) -> bool {
    now.duration_since(fetched_at).abs() < policy.fetch_after
}

/// Reads, judges and writes down a publication: pure, and a second of work for a large one.
fn digest(
    items: &[String],
    previous: Option<&PriceList>,
    known: &PriceBook,
    limits: Limits,
    fetched_at: Timestamp,
) -> Result<(PriceList, String, FetchReport), RefreshError> {
    let mut publication = parse(items.iter().map(String::as_str), known, fetched_at);
    let (products, rounded) = (publication.products, publication.rounded);
    let skipped = std::mem::take(&mut publication.skipped);
    let unknown_names = std::mem::take(&mut publication.unknown_names).into_iter().collect();
    let Accepted { list, quarantined, kept } = validate(publication, previous, known, limits, fetched_at)?;
    let document = to_document(&list).map_err(|error| RefreshError::Internal(error.to_string()))?;
    // Read back before anybody relies on it.
    let list_read = from_document(&document)?;
    if list_read != list {
        return Err(RefreshError::Internal("a price list does not survive its document".to_owned()));
    }
    let version = Arc::clone(&list.version);
    let rows = list.len();
    let report = FetchReport { version, products, rows, kept, rounded, skipped, unknown_names, quarantined };
    Ok((list, document, report))
}

fn embedded_book(services: &Services) -> Result<Arc<PriceBook>, SnapshotError> {
    let catalog = services.pricer.catalog();
    match catalog.books().iter().find(|book| book.source() == PriceSource::Embedded) {
        Some(book) => Ok(Arc::clone(book)),
        None => embedded().map(Arc::new),
    }
}

/// Runs what would keep requests waiting on a thread of its own. A panic there is an error here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RefreshError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RefreshError::Internal(error.to_string()))
}
