#![doc = include_str!("../README.md")]
//!
//! # The modules, in the order in which data flows

pub mod clock;
pub mod config;

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

pub mod ad_hoc;

pub mod backtest;

pub mod widening;

pub mod ensemble;

pub mod manifest;

pub mod model;

pub mod training;

pub mod registry;

pub mod champions;

pub mod jobs;
pub mod newcomers;
pub mod scheduler;

pub mod forecast;

pub mod cold_start;

pub mod evaluation;

pub mod threshold;

pub mod recent;
pub mod serving;
pub mod writeback;

pub mod quality;
pub mod shadow;

pub mod alert;
pub mod rounds;

pub mod access;
pub mod app;
pub mod commands;
pub mod error;
pub mod metrics;
pub mod openapi;
pub mod routes;
pub mod turns;
