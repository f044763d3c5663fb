#![doc = include_str!("../README.md")]
//!
//! # The modules, each of which uses only those above it

pub mod clock;
pub mod metrics;
pub mod progress;
pub mod turns;
pub mod version;

pub mod target;

pub mod grid;

pub mod quantile;

pub mod baseline;

pub mod statistical;

pub mod backtest;

pub mod ad_hoc;

pub mod model_kind;

pub mod widening;

pub mod joint;

pub mod ensemble;

pub mod model;

pub mod manifest;

pub mod host_model;

pub mod forecast;

pub mod training;

pub mod config;

pub mod gateway;

pub mod discovery;

pub mod fleet;

pub mod history;

pub mod corpus;

pub mod registry;

pub mod champions;
pub mod fleet_base;

pub mod cold_start;

pub mod threshold;

pub mod alert;

pub mod recent;
pub mod serving;
pub mod watch;
pub mod writeback;

pub mod quality;
pub mod shadow;

pub mod jobs;
pub mod loops;
pub mod newcomers;
pub mod rounds;
pub mod scheduler;

pub mod evaluation;

pub mod error;

pub mod access;
pub mod app;
pub mod routes;

pub mod openapi;
pub mod service;

pub mod commands;
