//! The local substrate, with the real engines of this machine.

#![expect(clippy::unwrap_used, reason = "a test that meets trouble it does not look for fails")]

#[path = "local/adoption.rs"]
mod adoption;
#[path = "local/confinement.rs"]
mod confinement;
#[path = "local/damage.rs"]
mod damage;
#[path = "local/ground.rs"]
mod ground;
#[path = "local/host_address.rs"]
mod host_address;
#[path = "local/hostile/mod.rs"]
mod hostile;
#[path = "local/late_starts.rs"]
mod late_starts;
#[path = "local/lifecycle.rs"]
mod lifecycle;
#[path = "local/lockdown.rs"]
mod lockdown;
#[path = "local/memcache.rs"]
mod memcache;
#[path = "local/own_namespace.rs"]
#[expect(dead_code, reason = "the tests of the server use more of it")]
mod own_namespace;
#[path = "local/passwords.rs"]
mod passwords;
#[path = "local/restores.rs"]
mod restores;
#[path = "local/roles.rs"]
mod roles;
#[path = "local/saves.rs"]
mod saves;
#[path = "local/silence.rs"]
mod silence;
#[path = "local/trouble.rs"]
mod trouble;
