#![doc = include_str!("../README.md")]

pub mod config;

mod publish;

pub mod glob;

pub mod tls;

pub mod access;

pub mod body;

pub mod lines;

pub mod guard;

pub mod validate;

pub mod ingest;

pub mod rejects;

pub mod journal;

pub mod store;

pub mod influxql;

pub mod upstream;

pub mod routes;

pub mod metrics;

pub mod telemetry;

pub mod error;

pub mod openapi;

pub mod app;

pub mod commands;
