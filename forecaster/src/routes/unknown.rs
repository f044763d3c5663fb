//! What is answered where there is no such operation: 405 with the methods that there are, or 404.

use actix_web::{HttpRequest, HttpResponse, web};
use headroom_openapi::operations::Operations;

use crate::error::ApiError;

/// Answers what no operation takes.
pub(crate) async fn answer(
    known: web::Data<Operations>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let methods = known.methods(&path);
    if methods.is_empty() {
        Err(ApiError::RouteUnknown { method, path })
    } else {
        Err(ApiError::MethodUnknown {
            method,
            path,
            allowed: methods.join(", "),
        })
    }
}
