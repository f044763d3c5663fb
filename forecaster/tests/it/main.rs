//! The forecaster's parts together, as a host's data meets them.

mod core_evaluation;
mod core_registry;
mod core_training;
mod support;
