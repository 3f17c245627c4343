//! What keeps engines from each other, from this program and from the rest of the machine.

use ourkv_control::substrate::local::confine::{Abilities, USERS, abilities};

use super::Finding;
use crate::config::{Confine, Engines};

/// Since these versions Landlock knows about TCP, and about signals and abstract sockets.
const PORTS: i32 = 4;
const SIGNALS: i32 = 6;

pub(super) fn check(engines: &Engines) -> Vec<Finding> {
    const CHECK: &str = "confinement";
    if engines.confine == Confine::Off {
        let advice = "set engines.confine to auto, unless an engine can't run that way";
        return vec![Finding::warning(CHECK, "off: engines may do what this user may", advice)];
    }
    let Abilities { users, walls } = abilities(engines.first_user);
    vec![self::users(engines, users), self::walls(engines, walls)]
}

fn users(engines: &Engines, able: Result<(), String>) -> Finding {
    const CHECK: &str = "users of engines";
    match able {
        Ok(()) => {
            let (first, last) = (engines.first_user, engines.first_user + (USERS - 1));
            Finding::ok(CHECK, format!("each instance has its own, of {first} to {last}"))
        }
        Err(reason) => missing(
            engines,
            CHECK,
            format!("{reason}: engines run as the user of `ourkv serve`"),
            "run it as root with the capabilities that docs/operations.md lists",
        ),
    }
}

fn walls(engines: &Engines, version: Result<i32, String>) -> Finding {
    const CHECK: &str = "files and ports of engines";
    match version {
        Ok(version) if version >= SIGNALS => Finding::ok(
            CHECK,
            format!("kept to their directories, ports and processes (Landlock {version})"),
        ),
        Ok(version) => {
            let kept = if version >= PORTS { "directories and ports" } else { "directories" };
            let found = format!("kept to their {kept} only (Landlock {version})");
            Finding::warning(CHECK, found, "Linux 6.12 or later does the rest")
        }
        Err(reason) => missing(
            engines,
            CHECK,
            format!("{reason}: engines reach what their user reaches"),
            "use Linux 6.12 or later with `landlock` among the security modules (`lsm=`)",
        ),
    }
}

/// What is missing is a problem where it is required.
fn missing(engines: &Engines, check: &'static str, found: String, advice: &str) -> Finding {
    match engines.confine {
        Confine::Require => Finding::problem(check, found, advice),
        Confine::Auto | Confine::Off => Finding::warning(check, found, advice),
    }
}
