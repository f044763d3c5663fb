//! What is answered where there is no such operation: 405 with the methods that there are, or 404.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::OpenApi;

use crate::error::ApiError;

/// The paths of the document, and each one's methods.
pub(crate) struct Known(BTreeMap<String, Vec<&'static str>>);

impl Known {
    /// Reads the document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("PUT", item.put.is_some()),
                ("POST", item.post.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let known = methods
                .into_iter()
                .filter(|(_, is_known)| *is_known)
                .map(|(method, _)| method);
            (path.clone(), known.collect())
        });
        Self(paths.collect())
    }

    /// Returns the methods of a path, parameters filled in; none where there is no such path.
    fn methods(&self, path: &str) -> Vec<&'static str> {
        let fits = |pattern: &String| {
            let (mut segments, mut asked) = (pattern.split('/'), path.split('/'));
            loop {
                match (segments.next(), asked.next()) {
                    (None, None) => return true,
                    (Some(segment), Some(given)) if segment == given => {}
                    (Some(segment), Some(given))
                        if segment.starts_with('{') && !given.is_empty() => {}
                    _ => return false,
                }
            }
        };
        let fitting = self.0.iter().filter(|(pattern, _)| fits(pattern));
        fitting
            .flat_map(|(_, methods)| methods.iter().copied())
            .collect()
    }
}

/// Answers what no operation takes.
pub(crate) async fn answer(
    known: web::Data<Known>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_its_parameters_filled_in_has_its_methods() {
        let known = Known::of(&crate::openapi::document());
        assert_eq!(known.methods("/api/v1/jobs/42"), ["GET", "DELETE"]);
        assert_eq!(known.methods("/api/v1/hosts/web-1/champion"), ["PUT"]);
        for path in ["/api/v1/jobs/", "/api/v1", "/api/v1/hosts/a/b/c/d"] {
            assert!(known.methods(path).is_empty(), "{path}");
        }
    }
}
