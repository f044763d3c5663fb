//! The simulator from outside: what it writes, and how it pushes.

mod lines;
mod push;
mod replay;
mod support;
