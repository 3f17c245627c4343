//! What this machine, and this program on it, can confine engines with.

use rustix::thread::{CapabilitySet, capabilities};

use super::user::USERS;
use super::walls;

/// What it takes to run engines as other users and still start, adopt, signal and end them, and to
/// manage their files.
const NEEDED: &[(CapabilitySet, &str)] = &[
    (CapabilitySet::CHOWN, "CAP_CHOWN"),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (CapabilitySet::FOWNER, "CAP_FOWNER"),
    (CapabilitySet::KILL, "CAP_KILL"),
    (CapabilitySet::SETGID, "CAP_SETGID"),
    (CapabilitySet::SETUID, "CAP_SETUID"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
];

/// What there is; where something is missing, why.
#[derive(Debug, Clone)]
pub struct Abilities {
    /// Whether engines can have users of their own.
    pub users: Result<(), String>,
    /// Whether Landlock can keep engines to their directories and ports, and which version of it.
    pub walls: Result<i32, String>,
}

impl Abilities {
    /// Why engines can't be confined in full.
    pub fn missing(&self) -> Option<&str> {
        self.users.as_ref().err().or(self.walls.as_ref().err()).map(String::as_str)
    }
}

/// Looks what there is. Changes nothing.
pub fn abilities(first_user: u32) -> Abilities {
    Abilities { users: users(first_user), walls: walls::version() }
}

fn users(first: u32) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can give engines users of their own".into());
    }
    let own = capabilities(None).map_err(|error| format!("capabilities: {error}"))?;
    let missing = NEEDED.iter().filter(|(needed, _)| !own.effective.contains(*needed));
    let missing: Vec<&str> = missing.map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return Err(format!("this program lacks {}", missing.join(", ")));
    }
    for map in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let text = std::fs::read_to_string(map).map_err(|error| format!("{map}: {error}"))?;
        if !covers(&text, first) {
            let last = first + (USERS - 1);
            return Err(format!("ids {first} to {last} do not exist in this container"));
        }
    }
    Ok(())
}

/// Whether one line of a map (`first outside count`) holds all ids.
fn covers(map: &str, first: u32) -> bool {
    let (first, end) = (u64::from(first), u64::from(first) + u64::from(USERS));
    map.lines().any(|line| {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [from, _, count] if from <= first && end <= from + count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_a_container_does_not_have_are_not_used() {
        assert!(covers("         0          0 4294967295\n", super::super::FIRST_USER));
        assert!(!covers("0 1000 1\n1 100000 65536\n", super::super::FIRST_USER));
        assert!(covers("0 1000 1\n1 100000 200000000\n", 1));
        assert!(!covers("", 1));
    }
}
