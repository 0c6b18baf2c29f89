//! What only AWS knows, asked through its SDK behind traits of the service layer. Nothing in here runs unless the
//! configuration switches it on.

pub mod inference_profiles;
pub mod price_list;
pub mod secrets_manager;
