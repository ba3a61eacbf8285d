//! What must hold whatever octets come: a module for each place where octets are read that somebody else wrote, in it
//! `holds`, which panics where something does not. The fuzz targets call it with what libFuzzer thinks of, and
//! `tests/properties.rs` with a bounded number of the same inputs each time.

pub mod auth;
pub mod bdat;
pub mod command;
pub mod data;
pub mod header;
pub mod journal;
mod pieces;
pub mod record;
pub mod reply;
