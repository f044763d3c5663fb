//! Takes line protocol, makes it durable, stores it and answers InfluxQL.

pub mod journal;
pub mod lines;
