//! Rules that only show over time, or when many come at once.

mod clock_change;
mod day;
mod ingest;
mod ingest_failures;
mod month;
