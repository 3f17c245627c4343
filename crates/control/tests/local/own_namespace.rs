//! Tests that change the network or mount something: each runs itself once more in a namespace of
//! its own. Those of the command line and of the API are among them, in `crates/server/tests`.

use std::path::PathBuf;
use std::process::Command;

/// Tells the inner run which namespace it must not be in.
const OUTER: &str = "OURKV_TEST_OUTER_NAMESPACE";
/// The namespaces of this process.
const NETWORK: &str = "/proc/self/ns/net";
const MOUNTS: &str = "/proc/self/ns/mnt";
/// Who has a network begins with nothing that is up.
const UP: [&str; 4] = ["--net", "sh", "-c", r#"ip link set lo up && exec "$0" "$@""#];
const OWN_MOUNTS: [&str; 3] = ["--mount", "--propagation", "private"];

/// Runs the test called `name` again, in a network of its own; there, runs `test`.
pub(crate) fn in_own_network(name: &str, test: impl FnOnce()) {
    again(as_any_user(), NETWORK, &UP, name, test);
}

/// The same with mounts of its own.
pub(crate) fn with_own_mounts(name: &str, test: impl FnOnce()) {
    again(as_any_user(), MOUNTS, &OWN_MOUNTS, name, test);
}

/// The same as root of the machine, whom the kernel lets mount disks.
pub(crate) fn with_roots_mounts(name: &str, test: impl FnOnce()) {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare = Command::new("sudo");
        unshare.args(["--non-interactive", "--preserve-env", "unshare"]);
    }
    again(unshare, MOUNTS, &OWN_MOUNTS, name, test);
}

fn as_any_user() -> Command {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare
}

/// What the inner run said is passed on.
#[expect(clippy::print_stdout, reason = "figures of the inner run are for whoever runs it by hand")]
fn again(mut unshare: Command, own: &str, how: &[&str], name: &str, test: impl FnOnce()) {
    let here = std::fs::read_link(own).unwrap();
    if let Some(outer) = std::env::var_os(OUTER) {
        assert_ne!(PathBuf::from(outer), here, "this is not a namespace of its own");
        return test();
    }
    unshare.args(how);
    unshare.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let output = unshare.env(OUTER, here).output().unwrap();
    let [said, talk] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{talk}");
    print!("{said}");
}

/// Whether this is the inner run.
pub(crate) fn is_in_own_namespace() -> bool {
    std::env::var_os(OUTER).is_some()
}

/// Whether this machine lets its user have a network of their own.
pub(crate) fn can_have_own_network() -> bool {
    as_any_user().args(["--net", "true"]).output().unwrap().status.success()
}
