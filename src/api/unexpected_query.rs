//! Query parameters of operations that take none: refused, as unknown ones of the others are.
//!
//! Which operations take any is read off the OpenAPI document, so no handler has to say that it takes none.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use super::error::ApiError;
use super::refusal::unreadable;

/// Where unknown parameters are refused. Elsewhere they are ignored: OAuth2 asks for that, and probes add some.
const API: &str = "/api/v1/";

/// The operations that take query parameters. Goes with every request as an extension.
#[derive(Debug, Clone)]
pub(super) struct QueryOperations(Arc<HashSet<(Method, String)>>);

impl QueryOperations {
    /// Those of the document.
    pub(super) fn of(document: &OpenApi) -> Self {
        let mut operations = HashSet::new();
        for (path, item) in &document.paths.paths {
            let methods = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in methods {
                if operation.as_ref().is_some_and(takes_query) {
                    operations.insert((method, path.clone()));
                }
            }
        }
        Self(Arc::new(operations))
    }

    fn contains(&self, method: &Method, path: &str) -> bool {
        // The router passes HEAD to the handlers of GET.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.contains(&(method.clone(), path.to_owned()))
    }
}

fn takes_query(operation: &Operation) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        // A parameter described elsewhere may be one; its handler knows.
        RefOr::Ref(_) => true,
    })
}

/// Refuses query parameters where the operation takes none.
///
/// # Errors
/// 400 naming the first of them.
pub(super) fn refuse(parts: &Parts) -> Result<(), ApiError> {
    let query = parts.uri.query().unwrap_or_default();
    let Some((name, _)) = form_urlencoded::parse(query.as_bytes()).next() else { return Ok(()) };
    let (Some(path), Some(operations)) =
        (parts.extensions.get::<MatchedPath>(), parts.extensions.get::<QueryOperations>())
    else {
        return Ok(());
    };
    if !path.as_str().starts_with(API) || operations.contains(&parts.method, path.as_str()) {
        return Ok(());
    }
    let name = if name.is_empty() { "query" } else { &name };
    Err(unreadable(name, "is not known here; this operation takes no query parameters"))
}
