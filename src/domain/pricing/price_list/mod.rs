//! The AWS Price List: from its texts to price books.
//!
//! | module | holds |
//! |---|---|
//! | `product` | the text of one product |
//! | `usage` | what a row charges, from the words of its usage type |
//! | `names` | which model a row is about |
//! | `decimal` | decimal texts as exact integers |
//! | `parse` | all of a publication as model groups |
//! | `validate` | what of a publication is believed |
//! | `list`, `document` | what is in force, as price books and as the stored document |

mod decimal;
mod document;
mod list;
mod names;
mod parse;
mod product;
mod usage;
mod validate;

#[cfg(test)]
mod tests;

pub use document::{DocumentError, from_document, to_document};
pub use list::{Group, ListRow, PriceList, Route};
pub use parse::{Publication, Skip, parse};
pub use validate::{Accepted, Limits, Quarantine, Refusal, validate};
