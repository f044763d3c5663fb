//! The gateway over real sockets.

mod access;
mod admin;
mod bad_input;
mod commands;
mod conformance;
mod crash;
mod disk_full;
mod health;
mod influxql;
mod limits;
mod openapi;
mod process;
mod query;
mod rejects;
mod reload;
mod scanner;
mod store;
mod support;
mod tls;
mod trace;
mod upstream;
mod validate;
mod write;
