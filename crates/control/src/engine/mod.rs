//! The engines themselves: which binaries there are, how each version is told what to be, and how
//! it is spoken to as its administrator.
//!
//! Knows binaries, settings and protocols; knows no instance's life: what runs where, and when it
//! is started or stopped, is a substrate's business.

pub mod acl;
mod binary;
pub mod full;
pub mod info;
mod launch;
pub mod memcached;
mod patched;
pub mod redis_admin;
pub mod redis_conf;
mod registry;
pub mod rename;
pub mod tenant;
pub mod trial;

pub use binary::{Binary, Kind, Version};
pub use launch::{Launch, Unwritable};
pub(crate) use registry::without_deleted;
pub use registry::{Engines, Served};

/// Number of databases (CreateInstance family, parameter `databases`).
const DATABASES: &str = "256";

/// Engine connections beside the tenant's own: ourkv's admin login (twice, while one is being
/// replaced) and the replica's link (twice, while a broken one lingers).
pub const RESERVED_CONNECTIONS: i64 = 4;
