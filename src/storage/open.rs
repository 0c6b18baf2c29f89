//! From `storage.url` to a store. With [`app`](crate::app), the only place that names a backend.
//! Placeholder until the SQLite store is written.
