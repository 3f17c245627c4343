//! A tenant with bad intentions, on every installed engine.
//!
//! What each engine lets a tenant run stands in `snapshots`, one allow-list for each version, made
//! from the engine's own list of commands: what is not in it is refused, and what a later engine
//! adds shows up as a difference that somebody has to look at. Whatever was tried, the engines are
//! the same processes with the same settings afterwards, and ourkv gets in.

mod attempts;
mod census;
mod commands;
mod greed;
mod memcached;
mod neighbours;
mod payloads;
mod scripts;
mod verdict;
mod wire;
mod witness;
