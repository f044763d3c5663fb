//! What the program does instead of serving, one command a file.

pub mod backtest;
mod plot;
pub mod pretrain;
mod progress;
