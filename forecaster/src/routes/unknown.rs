//! What is answered where there is no such operation: 405 with the methods that there are, or 404.

use actix_web::{HttpRequest, HttpResponse, web};
use headroom_openapi::operations::Operations;

use crate::error::ApiError;

/// Answers what no operation takes.
pub(crate) async fn answer(
    operations: web::Data<Operations>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let methods = operations.methods(&path);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_its_parameters_filled_in_has_its_methods() {
        let operations = Operations::of(&crate::openapi::document());
        assert_eq!(operations.methods("/api/v1/jobs/42"), ["GET", "DELETE"]);
        assert_eq!(operations.methods("/api/v1/hosts/web-1/champion"), ["PUT"]);
        for path in ["/api/v1/jobs/", "/api/v1", "/api/v1/hosts/a/b/c/d"] {
            assert!(operations.methods(path).is_empty(), "{path}");
        }
    }
}
