//! The label catalog with resolved prices.

use super::Services;
use super::access::CatalogAccess;
use crate::domain::catalog::LabelEntry;
use crate::domain::ids::ModelLabel;
use crate::domain::pricing::ResolvedPrice;

/// One label, what it means and what it costs.
#[derive(Debug)]
pub struct CatalogModel<'a> {
    /// The label.
    pub label: &'a ModelLabel,
    /// What it means.
    pub entry: &'a LabelEntry,
    /// Standard prices, where known.
    pub price: Option<ResolvedPrice>,
}

impl Services {
    /// Every label of the catalog.
    #[must_use]
    pub fn models(&self, _access: &CatalogAccess) -> Vec<CatalogModel<'_>> {
        self.catalog
            .iter()
            .map(|(label, entry)| CatalogModel { label, entry, price: self.pricer.resolve(entry) })
            .collect()
    }
}
