//! `/api/v2/query`, where clients of InfluxDB 2 ask in Flux: says what to ask instead.

use actix_web::{HttpResponse, post};

use crate::error::{ApiError, Dialect, ErrorV2, Failure};

const INSTEAD: &str = "Flux is not spoken here; ask in InfluxQL, such as GET /query?db=BUCKET&q=SELECT mean(\"usage_idle\") FROM \"cpu\" \
     GROUP BY time(5m), and in Grafana choose the query language InfluxQL";

/// Refuse a query in Flux (InfluxDB 2)
///
/// Says that queries are asked in InfluxQL on `/query`.
#[utoipa::path(
    tag = "query",
    operation_id = "queryFlux",
    responses(
        (status = 400, description = "Flux is not spoken", body = ErrorV2, example = json!({"code": "invalid", "message": INSTEAD})),
        (status = 401, description = "No known token", body = ErrorV2),
        (status = 403, description = "The token lacks the scope", body = ErrorV2),
    )
)]
#[post("/api/v2/query")]
pub(super) async fn query_flux() -> Result<HttpResponse, ApiError> {
    Err(Failure::Invalid(INSTEAD.to_owned()).for_dialect(Dialect::V2))
}
