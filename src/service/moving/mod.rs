//! Moving everything that is kept to another store: configuration, credentials and totals as JSON lines.
//!
//! An export is one pass over the store in pages, written line by line. An import reads its file several times: first
//! to verify all of it, then to compare it with what the store has, and only then to write. Neither holds more than a
//! page in memory, whatever the size.
//!
//! | module | holds |
//! |---|---|
//! | `lines`, `wire` | the lines of a file, and how they are spelled |
//! | `parsing` | reading JSON, and saying what is wrong with it without quoting it |
//! | `spelling` | amounts, bytes and checksums as text |
//! | `order` | the order lines have, by which repeated and orphaned ones are found |
//! | `writer`, `reader` | whole files, with their checksums |
//! | `compare` | what differs between a file and a store |
//! | `report` | what an import came to |
//! | `export`, `import`, `totals` | the two use cases; of the second, the part about daily totals |

mod compare;
mod export;
mod import;
mod lines;
mod order;
mod parsing;
mod reader;
mod report;
mod spelling;
mod totals;
mod wire;
mod writer;

pub use export::ExportError;
pub use import::ImportError;
pub use lines::{Content, FORMAT_VERSION, Header, MovedApp, MovedCredential, MovedOrg, MovedTotal};
pub use reader::{FileError, Verified, is_export, verify};
pub use report::{Findings, MAX_LISTED, MoveReport, Tally};
pub use spelling::Checksum;
pub use writer::Exported;
