//! The forecaster's command line.

fn main() {}
