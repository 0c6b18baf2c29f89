//! The label catalog with resolved prices.

use super::Services;
use super::access::CatalogAccess;
use super::pricing::StandardPrice;
use crate::domain::catalog::LabelEntry;
use crate::domain::ids::ModelLabel;

/// One label, what it means and what it costs.
#[derive(Debug)]
pub struct CatalogModel<'a> {
    /// The label.
    pub label: &'a ModelLabel,
    /// What it means.
    pub entry: &'a LabelEntry,
    /// Standard prices, where known.
    pub price: Option<StandardPrice>,
}

impl Services {
    /// Every label of the catalog.
    #[must_use]
    pub fn models(&self, _access: &CatalogAccess) -> Vec<CatalogModel<'_>> {
        let now = self.now();
        self.catalog
            .iter()
            .map(|(label, entry)| CatalogModel { label, entry, price: self.display_price(entry, now) })
            .collect()
    }
}
