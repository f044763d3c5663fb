//! The paths that a service's document lists, and each one's methods: what tells a wrong method from a wrong path.

use std::collections::BTreeMap;

use utoipa::openapi::OpenApi;

/// The paths of a document, and each one's methods.
#[derive(Debug, Clone)]
pub struct Operations(BTreeMap<String, Vec<&'static str>>);

impl Operations {
    /// Reads a document.
    #[must_use]
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", item.get.is_some()),
                ("HEAD", item.head.is_some()),
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
    #[must_use]
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
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

#[cfg(test)]
mod tests {
    use utoipa::{
        OpenApi as _,
        openapi::{HttpMethod, PathItem, PathsBuilder, path::OperationBuilder},
    };

    use super::*;

    #[derive(utoipa::OpenApi)]
    struct Empty;

    #[test]
    fn a_path_with_its_parameters_filled_in_has_its_methods() {
        let operation = |method| PathItem::new(method, OperationBuilder::new());
        let mut document = Empty::openapi();
        document.paths = PathsBuilder::new()
            .path("/api/v1/jobs/{id}", operation(HttpMethod::Get))
            .path("/api/v1/jobs/{id}", operation(HttpMethod::Delete))
            .path("/api/v1/jobs", operation(HttpMethod::Post))
            .build();
        let operations = Operations::of(&document);
        assert_eq!(operations.methods("/api/v1/jobs/42"), ["GET", "DELETE"]);
        assert_eq!(operations.methods("/api/v1/jobs"), ["POST"]);
        for path in ["/api/v1/jobs/", "/api/v1", "/api/v1/jobs/a/b"] {
            assert!(operations.methods(path).is_empty(), "{path}");
        }
    }
}
