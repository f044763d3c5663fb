//! How long an answer stays true: an entity tag by the data and the models behind it, and the time to the next data.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentType, EntityTag, Header, IfNoneMatch},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{error::ApiError, grid::STEP_S, serving::HostForecast};

/// Points of a step arrive a while after its end; an answer is not kept for longer than a tenth of a step after it.
const LEAST_AGE_S: i64 = 1;

/// What is known about an answer's age.
pub(crate) struct Freshness {
    tag: EntityTag,
    max_age_s: i64,
}

/// An answer's body, rendered.
pub(crate) struct Body {
    media_type: ContentType,
    text: String,
}

impl Freshness {
    /// Judges forecasts: the tag is weak, since seconds since the data grow while the forecast stays the same.
    pub(crate) fn of<'a>(
        forecasts: impl IntoIterator<Item = &'a HostForecast>,
        request: &HttpRequest,
        now_s: i64,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(request.uri().path());
        hash.update([0]);
        hash.update(request.query_string());
        for forecast in forecasts {
            let version = forecast
                .champion
                .as_ref()
                .map_or("", |champion| champion.version.as_str());
            hash.update(format!("\0{}\0{version}", forecast.host));
            for served in &forecast.served {
                let value = served.forecast.newest_value;
                hash.update(format!(
                    "\0{}\0{}\0{value}\0{:?}\0{:?}",
                    served.forecast.metric,
                    served.forecast.data_until_s,
                    served.status,
                    served.threshold.value
                ));
            }
        }
        let step = i64::from(STEP_S);
        Self {
            tag: EntityTag::new_weak(hex::encode(&hash.finalize()[..16])),
            max_age_s: (step - now_s.rem_euclid(step)).max(LEAST_AGE_S),
        }
    }

    /// Answers 304 when the client has this answer, and renders it otherwise.
    ///
    /// # Errors
    ///
    /// When it cannot be rendered.
    pub(crate) fn answer(
        self,
        request: &HttpRequest,
        render: impl FnOnce() -> Result<Body, ApiError>,
    ) -> Result<HttpResponse, ApiError> {
        let mut answer = if self.is_known_to(request) {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((
                header::CACHE_CONTROL,
                format!("private, max-age={}", self.max_age_s),
            ))
            .insert_header(header::ETag(self.tag.clone()));
        if self.is_known_to(request) {
            return Ok(answer.finish());
        }
        let body = render()?;
        Ok(answer.insert_header(body.media_type).body(body.text))
    }

    fn is_known_to(&self, request: &HttpRequest) -> bool {
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        }
    }
}

impl Body {
    /// Renders JSON.
    ///
    /// # Errors
    ///
    /// When a value has no form in JSON, which none of ours lacks.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let text = serde_json::to_string(value).map_err(|_| ApiError::Internal)?;
        Ok(Self {
            media_type: ContentType::json(),
            text,
        })
    }

    /// Takes a table.
    pub(crate) fn csv(text: String) -> Self {
        Self {
            media_type: ContentType("text/csv; charset=utf-8".parse().expect("a media type")),
            text,
        }
    }
}
