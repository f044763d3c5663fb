//! The gateway over real sockets.

mod access;
mod admin;
mod answers;
mod bad_input;
mod commands;
mod conformance;
mod crash;
mod disk_full;
mod guard;
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
mod types;
mod upstream;
mod validate;
mod write;
