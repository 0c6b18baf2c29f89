//! A sample organization.
use crate::cli::CommandError;
use crate::service::Services;

/// Placeholder.
#[derive(Debug)]
pub struct Sample;

impl Sample {
    /// Placeholder.
    #[must_use]
    pub fn instructions(&self, _base_url: &str, _key: &str) -> String {
        String::new()
    }
}

/// Placeholder.
///
/// # Errors
/// Placeholder.
pub async fn provision(_services: &Services) -> Result<Sample, CommandError> {
    Err("not written yet".into())
}
