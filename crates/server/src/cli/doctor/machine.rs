//! The machine: engines, the SASL tool, the limit on open files.

use ourkv_control::engine::Engines;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;

/// Descriptors beside those of connections: the store, engines under watch, logs.
const DESCRIPTORS_OF_OURS: u64 = 512;

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let engines = Engines::discover(std::slice::from_ref(&config.engines.dir)).await;
    let mut findings: Vec<_> = engines
        .mapping()
        .iter()
        .map(|served| {
            let wanted = format!("{} {}", served.instance_type, served.version);
            match served.by {
                Some(binary) => {
                    let path = binary.path.display();
                    Finding::ok("engine", format!("{wanted} is served by {binary}, {path}"))
                }
                None => Finding::problem(
                    "engine",
                    format!("nothing installed serves {wanted}"),
                    "install redis-server and memcached (`make up` does), then see `ourkv engines`",
                ),
            }
        })
        .collect();
    findings.push(sasl_tool());
    findings.push(open_files(config));
    findings
}

/// memcached's logins are made with the distribution's own tool.
fn sasl_tool() -> Finding {
    const CHECK: &str = "saslpasswd2";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.map(|dir| dir.join(CHECK)).find(|file| file.is_file());
    match found {
        Some(file) => Finding::ok(CHECK, file.display().to_string()),
        None => Finding::warning(
            CHECK,
            "not installed: Memcache instances can't be created",
            "install the package sasl2-bin",
        ),
    }
}

fn open_files(config: &Config) -> Finding {
    const CHECK: &str = "open files";
    let wanted = config.limits.connections.get() as u64 + DESCRIPTORS_OF_OURS;
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < wanted => Finding::warning(
            CHECK,
            format!("at most {limit}, and limits.connections asks for {wanted}"),
            "raise the hard limit (`ulimit -Hn`, LimitNOFILE=) or lower limits.connections",
        ),
        Some(limit) => Finding::ok(CHECK, format!("up to {limit}")),
        None => Finding::ok(CHECK, "no limit"),
    }
}
