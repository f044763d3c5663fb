#![doc = include_str!("../README.md")]
//!
//! # The modules, each of which uses only those above it

pub mod clock;
pub mod glob;
pub mod metrics;
mod publish;

pub mod lines;

pub mod guard;

pub mod validate;

pub mod access;

pub mod store;

pub mod influxql;

pub mod queries;

pub mod config;
pub mod telemetry;
pub mod tls;

pub mod body;

pub mod journal;

pub mod rejects;

pub mod upstream;

pub mod sink;

pub mod ingest;

pub mod error;

pub mod state;

pub mod routes;

pub mod openapi;

pub mod app;

pub mod commands;
