//! Judges every forecast that a round makes, and raises an alert where a crossing is likely enough.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    alert::{
        Delivery, LikelyCrossing,
        ledger::{Ledger, LedgerError},
    },
    metrics::Metrics,
    serving::{HostForecast, Served, Status},
};

/// Raises alerts.
pub struct Watch {
    /// Where they are kept.
    pub ledger: Arc<Ledger>,
    /// Rung when one was raised.
    pub bell: Arc<Notify>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// How long a target stays quiet after one.
    pub cooldown: Duration,
    /// The probability of crossing from which one is raised.
    pub probability: f64,
    /// Whether somebody is to be told.
    pub has_receiver: bool,
}

impl Watch {
    /// Judges a host's forecasts and returns how many alerts were raised. Writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written.
    pub fn judge(&self, forecast: &HostForecast) -> Result<usize, LedgerError> {
        let mut raised = 0;
        for served in forecast.served.iter().filter(|served| is_reliable(served)) {
            let Some(crossing) = likely_crossing(&forecast.host, served, self.probability) else {
                continue;
            };
            let delivery = if self.has_receiver {
                Delivery::Pending
            } else {
                Delivery::Unaddressed
            };
            let cooldown_s = self.cooldown.as_secs() as i64;
            if self
                .ledger
                .raise(&crossing, forecast.issued_at_s, cooldown_s, delivery)?
            {
                tracing::warn!(host = %crossing.host, metric = %crossing.metric, p_cross = crossing.p_cross,
                    eta_s = crossing.eta_p50, "alert: {}", crossing.sentence());
                self.metrics.alerts_total.inc();
                raised += 1;
            }
        }
        if raised > 0 {
            self.bell.notify_one();
        }
        Ok(raised)
    }
}

/// Old data tells of the past, and a host that was just met has not shown what is usual for it; what stands above the
/// threshold now needs no forecast.
fn is_reliable(served: &Served) -> bool {
    match served.status {
        Status::Ok | Status::Fallback => true,
        Status::Stale => false,
        Status::ColdStart => served
            .threshold
            .value
            .is_some_and(|value| served.forecast.newest_value >= value),
    }
}

fn likely_crossing(host: &str, served: &Served, probability: f64) -> Option<LikelyCrossing> {
    let outlook = served
        .outlook
        .filter(|outlook| outlook.p_cross >= probability)?;
    let forecast = &served.forecast;
    Some(LikelyCrossing {
        host: host.to_owned(),
        metric: forecast.metric.clone(),
        unit: forecast.unit.clone(),
        threshold: served.threshold.value?,
        value_now: Some(forecast.newest_value),
        p_cross: outlook.p_cross,
        eta_p10: outlook.eta_p10,
        eta_p50: outlook.eta_p50,
        eta_p90: outlook.eta_p90,
        horizon_s: forecast.path.steps() as i64 * i64::from(forecast.step_s),
        model: forecast.model.name().to_owned(),
    })
}
