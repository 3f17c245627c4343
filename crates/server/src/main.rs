//! The binary: everything is in the library.

use tikv_jemallocator::Jemalloc;

/// What is free goes back to the machine; `.cargo/config.toml` says how soon.
#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    ourkv::cli::run()
}
