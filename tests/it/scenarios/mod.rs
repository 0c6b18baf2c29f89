//! Rules that only show over time, or when many come at once.

#[cfg(feature = "sqlite")]
mod clock_change;
#[cfg(feature = "dynamodb")]
mod consolidation;
#[cfg(feature = "sqlite")]
mod day;
#[cfg(feature = "sqlite")]
mod ingest;
#[cfg(feature = "sqlite")]
mod ingest_failures;
#[cfg(feature = "sqlite")]
mod month;
mod overrun;
