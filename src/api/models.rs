//! The label catalog.

use axum::Json as JsonBody;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiResult;
use super::responses::CommonErrors;
use super::router::ApiState;
use crate::domain::catalog::LabelKind;
use crate::domain::pricing::PriceSource;
use crate::service::access::CatalogAccess;
use crate::service::price_refresh::PriceListStatus;
use crate::service::pricing::StandardPrice;

/// Standard prices of a model in micro-USD per one million tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct PricingResponse {
    /// `PRICED`, or `UNPRICED` where no price is known; then every price is null.
    #[schema(example = "PRICED")]
    status: &'static str,
    /// Uncached prompt tokens; null where not published.
    #[schema(example = 800_000)]
    input_price_usd_micros_per_1m: Option<u64>,
    /// Generated tokens; null where not published.
    #[schema(example = 3_200_000)]
    output_price_usd_micros_per_1m: Option<u64>,
    /// Prompt tokens read from the cache; null where not published.
    #[schema(example = 200_000)]
    cache_read_price_usd_micros_per_1m: Option<u64>,
    /// Prompt tokens written to the cache for five minutes; null where not published.
    #[schema(example = 0)]
    cache_write_price_usd_micros_per_1m: Option<u64>,
    /// `PRICING_API`, `CONFIG`, `CACHED` or `EMBEDDED`; null where no price is known.
    #[schema(value_type = Option<String>, example = "EMBEDDED")]
    source: Option<PriceSource>,
    /// Version of that source.
    #[schema(example = "2026-11-23")]
    version: Option<String>,
}

impl PricingResponse {
    /// Resolved prices on the wire.
    #[must_use]
    pub fn new(price: Option<&StandardPrice>) -> Self {
        let rates = price.map(|price| price.rates).unwrap_or_default();
        Self {
            status: if price.is_some() { "PRICED" } else { "UNPRICED" },
            input_price_usd_micros_per_1m: rates.input,
            output_price_usd_micros_per_1m: rates.output,
            cache_read_price_usd_micros_per_1m: rates.cache_read,
            cache_write_price_usd_micros_per_1m: rates.cache_write_5m,
            source: price.map(|price| price.source),
            version: price.map(|price| price.version.to_string()),
        }
    }
}

/// One label of the catalog.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelResponse {
    /// The label.
    #[schema(example = "premium")]
    label: String,
    /// `model` or `profile`.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "model")]
    kind: LabelKind,
    /// What to pass to Bedrock as `modelId`.
    #[schema(example = "amazon.nova-pro-v1:0")]
    bedrock_model_id: String,
    /// For a person.
    #[schema(example = "Most capable: demanding reasoning and long documents")]
    description: String,
    /// What it costs.
    pricing: PricingResponse,
}

/// The label catalog.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelsResponse {
    /// Every label, in alphabetical order.
    models: Vec<ModelResponse>,
    /// The AWS Price List in force; absent where prices come from elsewhere only.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_list: Option<PriceListResponse>,
}

/// The AWS Price List in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceListResponse {
    /// `PRICING_API` where this instance fetched it, `CACHED` where it was loaded from the store.
    #[schema(value_type = String, example = "PRICING_API")]
    source: PriceSource,
    /// Publication date of the newest publication in it.
    #[schema(example = "2026-11-20T17:03:51Z")]
    version: String,
    /// When it was fetched.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T06:12:40Z")]
    fetched_at: Timestamp,
    /// Seconds since it was fetched.
    #[schema(example = 15_520)]
    age_secs: u64,
    /// Models that stay at older prices because the newest were not believed.
    #[schema(example = json!(["amazon.nova-pro-v1:0"]))]
    quarantined_models: Vec<String>,
}

impl From<PriceListStatus> for PriceListResponse {
    fn from(status: PriceListStatus) -> Self {
        Self {
            source: status.source,
            version: status.version.to_string(),
            fetched_at: status.fetched_at,
            age_secs: status.age_secs,
            quarantined_models: status.quarantined,
        }
    }
}

/// List the label catalog
///
/// What each model label means, and its prices with their source.
#[utoipa::path(
    get,
    path = "/models",
    tag = "Models",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The catalog", body = ModelsResponse), CommonErrors),
)]
pub async fn list_models(State(state): State<ApiState>, access: CatalogAccess) -> ApiResult<JsonBody<ModelsResponse>> {
    let models = state
        .services
        .models(&access)
        .into_iter()
        .map(|model| ModelResponse {
            label: model.label.to_string(),
            kind: model.entry.kind,
            bedrock_model_id: model.entry.bedrock_model_id.clone(),
            description: model.entry.description.clone(),
            pricing: PricingResponse::new(model.price.as_ref()),
        })
        .collect();
    let price_list = state.services.price_list().map(Into::into);
    Ok(JsonBody(ModelsResponse { models, price_list }))
}
