//! How long an answer stays true: an entity tag by what was forecast, and the time to the next data.
//!
//! The forecasts themselves are hashed: whatever they are computed from, late points, a new model or base, and other lenders
//! included, changes the tag when and only when it changes them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentType, EntityTag, Header, IfNoneMatch},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    error::ApiError,
    grid::STEP_S,
    serving::{HostForecast, Served, Unserved},
};

/// Points of a step arrive a while after its end; an answer is not kept for longer than a tenth of a step after it.
const LEAST_AGE_S: i64 = 1;

/// What is known about an answer's age.
pub(crate) struct Freshness {
    hash: Sha256,
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
        let step = i64::from(STEP_S);
        let mut freshness = Self {
            hash: Sha256::new(),
            max_age_s: (step - now_s.rem_euclid(step)).max(LEAST_AGE_S),
        };
        freshness.add(request.uri().path());
        freshness.add(request.query_string());
        for forecast in forecasts {
            let champion = forecast.champion.as_ref();
            freshness.add(&forecast.host);
            freshness.add(champion.map_or("", |champion| champion.version.as_str()));
            for served in &forecast.served {
                freshness.add_served(served);
            }
            for Unserved { metric, reason } in &forecast.unserved {
                freshness.add(metric);
                freshness.add(reason);
            }
        }
        freshness
    }

    /// Lets the tag depend on a text of the answer too.
    pub(crate) fn add(&mut self, text: &str) {
        self.hash.update(text.len().to_le_bytes());
        self.hash.update(text);
    }

    fn add_served(&mut self, served: &Served) {
        let forecast = &served.forecast;
        self.add(&forecast.metric);
        self.add(forecast.model.name());
        self.add(forecast.fallback_reason.as_deref().unwrap_or_default());
        self.add(&format!("{:?} {:?}", served.status, served.threshold.value));
        self.hash.update(forecast.data_until_s.to_le_bytes());
        self.hash.update(forecast.newest_value.to_le_bytes());
        for value in forecast.path.levels().iter().flatten() {
            self.hash.update(value.to_le_bytes());
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
        let tag = EntityTag::new_weak(hex::encode(&self.hash.finalize()[..16]));
        let is_known = is_known(&tag, request);
        let mut answer = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((
                header::CACHE_CONTROL,
                format!("private, max-age={}", self.max_age_s),
            ))
            .insert_header(header::ETag(tag));
        if is_known {
            return Ok(answer.finish());
        }
        let body = render()?;
        Ok(answer.insert_header(body.media_type).body(body.text))
    }
}

/// Says whether the client has the answer of this tag.
fn is_known(tag: &EntityTag, request: &HttpRequest) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(header::IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
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
