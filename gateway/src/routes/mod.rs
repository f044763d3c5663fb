//! The HTTP surface: every route, and what stands around each request.

mod admission;
mod buckets;
mod client;
mod flux;
mod health;
mod metrics;
mod passthrough;
mod preface;
pub mod query;
mod rejects;
mod tokens;
mod trace;
mod validate;
mod write;

use std::time::Instant;

use actix_web::{
    App, Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::Method,
    middleware::{Next, from_fn},
    web::{self, Data, redirect},
};
use headroom_openapi::operations::Operations;
use tracing_actix_web::TracingLogger;
use utoipa_actix_web::{AppExt, service_config::ServiceConfig};
use utoipa_swagger_ui::SwaggerUi;

pub(crate) use preface::preface;

use crate::{
    error::{ApiError, Dialect, Failure},
    state::State,
};

/// Registers every operation; registering a route documents it.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(write::write_v2)
        .service(write::write_v1)
        .service(write::write_v3)
        .service(validate::validate)
        .configure(query::configure)
        .service(flux::query_flux)
        .configure(buckets::configure)
        .configure(rejects::configure)
        .configure(tokens::configure)
        .service(health::ping)
        .service(health::ping_head)
        .service(health::health)
        .service(health::ready)
        .service(metrics::metrics);
}

/// Builds the application of one worker.
pub(crate) fn app(
    state: Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let (app, document) = App::new()
        .app_data(state)
        .into_utoipa_app()
        .openapi(preface())
        .configure(configure)
        .split_for_parts();
    app.app_data(Data::new(Operations::of(&document)))
        .service(redirect("/", "/docs/"))
        .service(redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").url("/api-docs/openapi.json", document))
        .default_service(web::to(unmatched))
        .wrap(from_fn(admission::guard))
        .wrap(from_fn(observe))
        .wrap(TracingLogger::<trace::RequestSpan>::new())
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn bad_query(error: Error) -> Failure {
    Failure::Invalid(format!("the query string is malformed: {error}"))
}

async fn unmatched(
    request: HttpRequest,
    operations: Data<Operations>,
) -> Result<HttpResponse, ApiError> {
    let path = request.path();
    let methods = operations.methods(path);
    let failure = if methods.is_empty() {
        Failure::NotFound
    } else {
        Failure::MethodNotAllowed {
            allowed: methods.join(", "),
        }
    };
    Err(failure.for_dialect(Dialect::of_path(path)))
}

/// Measures every request by its route, and names it in its answer.
async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let state = request.app_data::<Data<State>>().cloned();
    let method = method_label(request.method());
    let id = request.extensions().get::<trace::Id>().cloned();
    // Counts down also when the client hangs up and this future is dropped.
    let in_flight = state.clone().map(Counted::new);
    let mut outcome = next.call(request).await;
    drop(in_flight);
    if let Some(state) = state {
        let (route, status) = match &outcome {
            Ok(answer) => (answer.request().match_pattern(), answer.status()),
            Err(error) => (None, error.as_response_error().status_code()),
        };
        state
            .metrics
            .http_seconds
            .with_label_values(&[
                route.as_deref().unwrap_or("unmatched"),
                method,
                status.as_str(),
            ])
            .observe(started.elapsed().as_secs_f64());
    }
    if let (Ok(answer), Some(trace::Id(id))) = (&mut outcome, id) {
        answer.headers_mut().insert(trace::REQUEST_ID, id);
    }
    outcome
}

/// A method as a label, of which there are few whatever clients write.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

/// A request in hand.
struct Counted(Data<State>);

impl Counted {
    fn new(state: Data<State>) -> Self {
        state.metrics.http_in_flight.inc();
        Self(state)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.http_in_flight.dec();
    }
}
