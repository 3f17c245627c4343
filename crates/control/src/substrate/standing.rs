//! What the engines of a pair know of each other: what a decision about their roles is made from.

use std::time::Duration;

/// What one engine has, running or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it says of itself; `None` where it does not run or does not answer.
    pub replication: Option<Replication>,
    /// The data that it would start from; `None` where there are none.
    pub disk: Option<Kept>,
}

/// What a running engine says of its replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// Whose history of writes it has; empty where the engine is too old to name it.
    pub history: String,
    /// How far it is in that history, in bytes.
    pub offset: i64,
    /// How it stands to its master.
    pub link: Link,
    /// Keys that it holds.
    pub keys: u64,
    /// It still reads its data and will answer then.
    pub loading: bool,
}

/// How an engine stands to its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is a master itself.
    Master,
    /// It follows.
    Up,
    /// It followed, and does not for that long.
    Down(Duration),
    /// It is being given all the data of its master, and what it has is not whole.
    Syncing,
    /// It has not followed since it was started.
    Never,
}

/// Data on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How much.
    pub bytes: u64,
    /// How long ago it was written to.
    pub age: Duration,
}

/// For how long an engine has answered nobody. It is told of one process and begins anew with its
/// next sign of life, and where nobody asked for a while; it goes on where a control plane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// From the first question that was asked in vain to the end of the last one.
    pub lasts: Duration,
    /// How many there were.
    pub times: u32,
}

/// The sign of life that an engine gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulse {
    /// It answers on one of its ways at least. What a master said of its history and offset.
    Answers(Option<(String, i64)>),
    /// It does not answer and works: its processor time goes on, or it says that it is busy.
    Busy,
    /// It runs, and neither of two independent questions was answered in time.
    Silent(Silence),
    /// It does not run.
    Gone,
}
