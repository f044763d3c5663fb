//! The gateway over real sockets.

mod access;
mod bad_input;
mod conformance;
mod crash;
mod health;
mod openapi;
mod support;
mod upstream;
mod write;
