//! HTTP/1.1 connections, over TCP or TLS: bounded in number, in what they may send before they are understood, in the
//! time a client may take for each step, and in the time a stop may take.
//!
//! | Bound | Where | Why this much |
//! |---|---|---|
//! | connections | [`ServerLimits::max_connections`] | configured; each is a file descriptor and its buffers |
//! | TLS handshake, header of a request, idle time, stalled write | [`ServerLimits::client_timeout`] | configured; a client that needs longer for one step is gone or hostile |
//! | header of a request | `MAX_HEADER_BYTES`, 100 fields | see there |
//! | buffer of a connection | `MAX_BUFFER_BYTES` | see there |
//! | time after the last answer | `LINGER`, `LINGER_BYTES` | see there |
//!
//! The body of a request and the time it may take are bounded where it is read, in `api`.

mod accept;
mod endpoint;
mod stream;
mod unreadable;

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;

pub use accept::{ServerLimits, serve};
pub use endpoint::{Endpoint, Rejections};
