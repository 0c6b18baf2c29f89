//! Who may do what: every operation of the OpenAPI document, for every kind of caller.

mod callers;
mod matrix;
mod order;
mod table;
