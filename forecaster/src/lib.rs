//! Headroom's forecaster.
//!
//! The modules stand in the order in which data flows.

pub mod target;

pub mod grid;

pub mod quantile;

pub mod baseline;

pub mod backtest;

pub mod manifest;

pub mod model;

pub mod training;

pub mod registry;

pub mod forecast;

pub mod threshold;

pub mod evaluation;
