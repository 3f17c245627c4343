//! Tests that change the network: each runs itself once more in a network namespace of its own.
//! Those of the command line are among them, in `crates/server/tests/cli`.

use std::path::Path;
use std::process::Command;

/// Tells the inner run which namespace it must not be in.
const OUTER: &str = "OURKV_TEST_OUTER_NETWORK";

/// Runs the test called `name` again, in a network of its own; there, runs `test`.
pub(crate) fn in_own_network(name: &str, test: impl FnOnce()) {
    let network = std::fs::read_link("/proc/self/ns/net").unwrap();
    if let Some(outer) = std::env::var_os(OUTER) {
        assert_ne!(Path::new(&outer), network, "this is not a network of its own");
        return test();
    }
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["--net", "sh", "-c", r#"ip link set lo up && exec "$0" "$@""#]);
    unshare.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let output = unshare.env(OUTER, network).output().unwrap();
    let [said, talk] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{talk}");
}

/// Whether this is the inner run.
pub(crate) fn is_in_own_network() -> bool {
    std::env::var_os(OUTER).is_some()
}

/// Whether this machine lets its user have a network of their own.
pub(crate) fn can_have_own_network() -> bool {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["--net", "true"]).output().unwrap().status.success()
}
