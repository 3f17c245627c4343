//! Which run of the machine this is: engines outlive a server, but not a restart of the machine.
//!
//! What was seen of a node's instances holds for the run in which it was seen. In another run no
//! engine of theirs is up, so none may be shown as `Normal` before it was seen to answer.

use std::fs;

use jiff::Timestamp;
use ourkv_domain::ids::NodeId;
use ourkv_store::{StoreError, Tx};

/// What the kernel calls the time since it started.
pub(super) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The first process ends with a container, whose restart leaves the kernel's boot id as it is.
const FIRST_PROCESS: &str = "/proc/1/stat";

/// Names the present run; `None` where the system does not tell, which counts as another run.
pub(super) fn present() -> Option<String> {
    let boot = fs::read_to_string(BOOT_ID).ok()?;
    let first = fs::read_to_string(FIRST_PROCESS).ok();
    let began = first.as_deref().and_then(beginning).unwrap_or_default();
    Some(format!("{} {began}", boot.trim()))
}

/// Keeps the present run of a node. In another one than was kept, its instances count as not
/// answering; returns how many had to be marked so.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    node: &NodeId,
    present: Option<&str>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let name = format!("run-of-{node}");
    let present = present.unwrap_or_default();
    if !present.is_empty() && tx.setting(&name)?.as_deref() == Some(present) {
        return Ok(0);
    }
    tx.set_setting(&name, present)?;
    tx.lose_sight(node, "the machine was restarted", now)
}

/// When a process began, out of its `stat`: the twenty-second field. The second one, the name in
/// parentheses, may hold anything.
fn beginning(stat: &str) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_name() {
        let run = present().unwrap();
        assert_eq!(present(), Some(run.clone()));
        assert!(run.split(' ').all(|part| !part.is_empty()), "{run}");
    }

    #[test]
    fn reads_past_any_name() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 9";
        assert_eq!(beginning(stat), Some("777"));
        assert_eq!(beginning("1 (a) S 0"), None);
        assert_eq!(beginning(""), None);
    }
}
