//! A child process that ends with its owner.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::until;

/// Where the time in user mode stands in `/proc/<pid>/stat`, behind the name; the time in the
/// kernel is next.
const UTIME: usize = 11;
/// Linux counts that time in hundredths of a second, on every architecture.
const MS_PER_TICK: u64 = 10;

/// A child that is killed, by its pid, when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn();
        let child = child.with_context(|| command.get_program().to_string_lossy().into_owned())?;
        Ok(Self(child))
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How long processors have worked for it.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name, in parentheses, may hold anything; what follows are numbers.
        let numbers = text.rsplit_once(')').map(|(_, numbers)| numbers).unwrap_or_default();
        let ticks = numbers.split_whitespace().skip(UTIME).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * MS_PER_TICK))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn terminate(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        until("a process ends when it is told to", Duration::from_millis(1), || self.ended())?;
        Ok(())
    }

    /// Ends it at once, and waits for that.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
