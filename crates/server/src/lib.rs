//! The program: gateway, actions, command line.
//!
//! A library only so that tests can reach its parts; the binary is `ourkv`.

pub mod actions;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod links;
pub mod opening;
pub mod shelf;
mod whitelist;
pub mod wiring;
