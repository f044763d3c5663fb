#![doc = include_str!("../README.md")]
//!
//! # The modules, in the order in which data flows

pub mod clock;
pub mod config;
pub mod metrics;
pub mod progress;
pub mod version;

pub mod gateway;

pub mod target;

pub mod discovery;

pub mod fleet;

pub mod grid;

pub mod history;

pub mod corpus;

pub mod quantile;

pub mod baseline;

pub mod statistical;

pub mod backtest;

pub mod ad_hoc;

pub mod model_kind;

pub mod widening;

pub mod ensemble;

pub mod model;

pub mod manifest;

pub mod host_model;

pub mod forecast;

pub mod training;

pub mod evaluation;

pub mod registry;

pub mod champions;

pub mod cold_start;

pub mod threshold;

pub mod recent;
pub mod serving;
pub mod writeback;

pub mod quality;
pub mod shadow;

pub mod jobs;
pub mod loops;
pub mod newcomers;
pub mod scheduler;

pub mod alert;
pub mod rounds;

pub mod turns;

pub mod error;

pub mod access;
pub mod app;
pub mod openapi;
pub mod routes;

pub mod commands;
