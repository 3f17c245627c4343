//! Bounds of a process, set from outside.
//!
//! They are a second line behind what an engine is told itself (`maxmemory`, `maxclients`): they
//! hold for one that does not do as it is told. None of them is what an engine in order comes near.

use std::io;

use ourkv_domain::instance::InstanceType;
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid, getrlimit};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::engine::RESERVED_CONNECTIONS;
use crate::substrate::Unit;

/// Address space beside the data, in bytes, and how much more than its class an engine may take.
/// This is not memory: an allocator keeps room that it has given back, a buffer that grows is there
/// twice, and one command may bring 512 MB before anything is evicted. What an engine forks has the
/// same bound for itself, and shares its pages.
const SPACE: u64 = 4 << 30;
const SPACE_FOR_EACH: u64 = 4;
/// Files and sockets beside those of clients.
const FILES: u64 = 512;
/// Processes and threads of one user. A pair has one user, and two engines that may each have a
/// child that writes.
const PROCESSES: u64 = 64;

/// The same for a trial, which serves nobody.
const TRIAL_SPACE: u64 = 1 << 30;
const TRIAL_SPACE_FOR_EACH: u64 = 2;
const TRIAL_FILES: u64 = 64;
/// Seconds of processor time, and MB of capacity for which there is one more.
const TRIAL_SECONDS: u64 = 120;
const TRIAL_MB_FOR_A_SECOND: u64 = 4;
/// A log that grows longer ends the trial.
const TRIAL_LONGEST_FILE: u64 = 16 << 20;

/// The bounds of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Limits(Vec<(Resource, u64)>);

impl Limits {
    /// Those of an engine that serves.
    pub(in super::super) fn of_engine(unit: &Unit) -> Self {
        let mut bounds = vec![
            (Resource::As, space(unit.capacity_mb, SPACE, SPACE_FOR_EACH)),
            (Resource::Nproc, PROCESSES),
        ];
        // memcached gives itself as many files as it may have clients.
        if unit.instance_type == InstanceType::Redis {
            let clients = unit.connections.saturating_add(RESERVED_CONNECTIONS);
            let clients = u64::try_from(clients).unwrap_or(0);
            bounds.push((Resource::Nofile, clients.saturating_add(FILES)));
        }
        Self(bounds).and_what_nobody_needs()
    }

    /// Those of a trial.
    pub(in super::super) fn of_trial(capacity_mb: i64) -> Self {
        let capacity = u64::try_from(capacity_mb).unwrap_or(0);
        Self(vec![
            (Resource::As, space(capacity_mb, TRIAL_SPACE, TRIAL_SPACE_FOR_EACH)),
            (Resource::Cpu, TRIAL_SECONDS.saturating_add(capacity / TRIAL_MB_FOR_A_SECOND)),
            (Resource::Nofile, TRIAL_FILES),
            (Resource::Nproc, PROCESSES),
            (Resource::Fsize, TRIAL_LONGEST_FILE),
        ])
        .and_what_nobody_needs()
    }

    fn and_what_nobody_needs(mut self) -> Self {
        self.0.extend([Resource::Core, Resource::Memlock, Resource::Msgqueue].map(|it| (it, 0)));
        self
    }

    /// Sets them on a process of that user. Processes are counted only where it is a user that has
    /// no others.
    pub(in super::super) fn put_on(&self, pid: u32, user: Option<u32>) -> io::Result<()> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let bounds =
            self.0.iter().filter(|(resource, _)| *resource != Resource::Nproc || user.is_some());
        let limits: Vec<_> =
            bounds.map(|(resource, bound)| (*resource, limit(*resource, *bound))).collect();
        let set = || limits.iter().try_for_each(|(resource, limit)| set(pid, *resource, *limit));
        match (set(), user) {
            (Err(Errno::PERM), Some(user)) => Ok(as_real_user(user, set)?),
            (done, _) => Ok(done?),
        }
    }
}

/// What this program itself may have is never exceeded.
fn limit(resource: Resource, bound: u64) -> Rlimit {
    let bound = getrlimit(resource).maximum.map_or(bound, |ours| ours.min(bound));
    Rlimit { current: Some(bound), maximum: Some(bound) }
}

fn set(pid: Pid, resource: Resource, limit: Rlimit) -> rustix::io::Result<()> {
    rustix::process::prlimit(Some(pid), resource, limit).map(drop)
}

/// Without `CAP_SYS_RESOURCE`, bounds are set by whoever has the real ids of the process: a thread
/// takes them on, does it, and ends.
fn as_real_user(
    user: u32,
    work: impl FnOnce() -> rustix::io::Result<()> + Send,
) -> rustix::io::Result<()> {
    let work = move || {
        set_thread_res_gid(Gid::from_raw(user), None, None)?;
        set_thread_res_uid(Uid::from_raw(user), None, None)?;
        work()
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or(Err(Errno::AGAIN)))
}

fn space(capacity_mb: i64, fixed: u64, for_each: u64) -> u64 {
    let capacity = u64::try_from(capacity_mb).unwrap_or(0).saturating_mul(1 << 20);
    capacity.saturating_mul(for_each).saturating_add(fixed)
}
