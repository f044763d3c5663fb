//! Takes line protocol, makes it durable, stores it and answers InfluxQL.

pub mod influxql;
pub mod journal;
pub mod lines;
pub mod store;
