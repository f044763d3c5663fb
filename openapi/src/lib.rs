#![doc = include_str!("../README.md")]

pub mod access;
pub mod health;
pub mod operations;
pub mod problem;
pub mod query;
