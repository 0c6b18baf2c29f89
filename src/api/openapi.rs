//! The OpenAPI document, and Swagger UI over it.

use axum::Router;
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, ClientCredentials, Flow, OAuth2, Scopes, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{Modify, OpenApi as _};

use super::auth::API_KEY_HEADER;
use super::router::{ApiState, documented_routes};
use crate::service::access::Permission;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Bedrock Cost Keeper",
        description = "Exact, near-real-time spend and model recommendations for applications that call Amazon Bedrock.\n\n\
            An application asks which model to use, calls Bedrock itself, and reports what it used. The service \
            compares spend with quotas in the organization's own time zone and recommends the next cheaper model when \
            a quota is spent, without oscillating. It advises; it never stands between a client and Bedrock.\n\n\
            **To try it here:** press *Authorize*, enter a provisioning key under `api_key` (or a client id and secret \
            under `bearer`, which fetches a token), then *Execute* in an operation. With both, the key counts. The \
            examples belong together: executed from top to bottom, creating the organization and the application first, \
            they work as they are.\n\n\
            Money is integer micro-USD (`*_usd_micros`), instants are RFC 3339 UTC, days `YYYY-MM-DD`. Every answer carries \
            `X-Request-Id`; every error, one on an unknown path included, has the form `ErrorResponse`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    modifiers(&Security),
    tags(
        (name = "Model selection", description = "Which model to use now"),
        (name = "Usage", description = "What calls used and cost"),
        (name = "Aggregates", description = "Spend by day, month, application and model"),
        (name = "Models", description = "The label catalog"),
        (name = "Inference profiles", description = "Labels of an application's own, for inference profiles"),
        (name = "Tokens", description = "OAuth2 tokens of clients"),
        (name = "Organizations", description = "Time zone, quotas and order of models; with a provisioning key"),
        (name = "Applications", description = "What an application has of its own; with a provisioning key"),
        (name = "Credentials", description = "Secrets of clients: rotation, retrieval, revocation"),
        (name = "Pricing", description = "Repricing of recorded usage; with a provisioning key"),
        (name = "Fallback", description = "The sticky fallback of the day"),
        (name = "Audit", description = "Who changed what, and who tried with wrong credentials; with a provisioning key"),
        (name = "Service", description = "What this is, and whether it works"),
    ),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let scopes = Scopes::from_iter(Permission::ALL.map(|permission| {
            let meaning = match permission {
                Permission::ReadAggregates => "read spend and quotas",
                Permission::WriteCosts => "submit usage and costs",
                Permission::ReadModelSelection => "ask which model to use",
            };
            (permission.as_str().to_owned(), meaning.to_owned())
        }));
        let mut oauth = OAuth2::new([Flow::ClientCredentials(ClientCredentials::new("/auth/token", scopes))]);
        oauth.description = Some(
            "Client id and secret of an organization or application. Every token has all scopes, whichever are selected."
                .to_owned(),
        );
        components.add_security_scheme("bearer", SecurityScheme::OAuth2(oauth));
        let key = ApiKeyValue::with_description(API_KEY_HEADER_DISPLAY, "A provisioning key, for administrators.");
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

/// The header as it is written in documentation; header names have no case.
const API_KEY_HEADER_DISPLAY: &str = "X-API-Key";
const _: () = assert!(API_KEY_HEADER_DISPLAY.eq_ignore_ascii_case(API_KEY_HEADER));

/// The document without paths.
#[must_use]
pub fn base() -> OpenApi {
    Document::openapi()
}

/// What is done to the document once all paths are in it.
#[must_use]
pub fn finish(mut document: OpenApi) -> OpenApi {
    document.info.version = super::public::VERSION.to_owned();
    document
}

/// The whole document, without a running service.
#[must_use]
pub fn document() -> OpenApi {
    finish(documented_routes().into_openapi())
}

/// `/openapi.json`, and Swagger UI at `/docs` where it is compiled in.
pub fn routes(document: &OpenApi) -> Router<ApiState> {
    let json = document.to_json().unwrap_or_default();
    let router = Router::new().route(
        "/openapi.json",
        get(move || async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], json) }),
    );
    #[cfg(feature = "swagger-ui")]
    let router = {
        use utoipa_swagger_ui::{Config, SwaggerUi};
        let config = Config::from("/openapi.json")
            .try_it_out_enabled(true)
            .persist_authorization(false)
            .display_request_duration(true)
            .doc_expansion("list")
            .default_models_expand_depth(0);
        router.merge(SwaggerUi::new("/docs").config(config))
    };
    router
}
