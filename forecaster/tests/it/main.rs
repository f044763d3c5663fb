//! The forecaster's parts together, as a host's data meets them, and the service as its clients see it: on a free port,
//! before a gateway that answers InfluxQL.

mod access;
mod alerts;
mod api;
mod aside;
mod champion;
mod command_line;
mod core_evaluation;
mod core_gate;
mod core_networks;
mod core_registry;
mod core_sawtooth;
mod core_training;
mod corpus;
mod data_as_it_is;
mod fleet_forecasts;
mod gateway_trouble;
mod openapi;
mod predict;
mod quality;
mod statistical;
mod support;
mod training;
mod writeback;
