//! Data as it comes out of an engine and goes into one: an RDB file, as a stream.
//!
//! Knows no shelf, no key and no digest: whoever makes a stream answers for what is in it, and
//! ends it with an error where it is not whole.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use bytes::Bytes;
use futures::stream::BoxStream;
use ourkv_domain::backup::EngineStamp;

use super::Trouble;

/// The bytes of an RDB file, in order. An error is the last item: what came before it is worth
/// nothing then.
pub type ByteStream = BoxStream<'static, Result<Bytes, Trouble>>;

/// A save that is under way.
pub struct Saving {
    /// The engine that writes it: no older one reads it.
    pub engine: EngineStamp,
    /// Keys in all databases at the moment that is saved.
    pub keys: u64,
    /// How many of these have a time to live.
    pub expiring: u64,
    /// How far it is, from 0 to 100; an estimate.
    pub percent: Arc<AtomicU8>,
    /// What is saved. It ends without an error only when the engine finished its file and these
    /// were all its bytes. Dropping it ends the save.
    pub bytes: ByteStream,
}

/// Data that is to be put beside the data in force.
pub struct Staging {
    /// Which restore of the instance it is; higher than those before.
    pub serial: i64,
    /// The engine that wrote it.
    pub engine: EngineStamp,
    /// The data.
    pub bytes: ByteStream,
}

/// Data of which somebody wants to know whether an engine loads it.
pub struct Specimen {
    /// The engine that wrote it.
    pub engine: EngineStamp,
    /// Memory of the instance that it is of, in MB: what an engine may need for it follows.
    pub capacity_mb: i64,
    /// The data.
    pub bytes: ByteStream,
}

/// What an engine had after it loaded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Keys in all databases.
    pub keys: u64,
    /// Keys that it left out as their time was over; 0 where the engine does not tell (before
    /// 7.0).
    pub expired: u64,
}

impl fmt::Debug for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (engine, keys) = (&self.engine, self.keys);
        f.debug_struct("Saving")
            .field("engine", engine)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (serial, engine) = (self.serial, &self.engine);
        f.debug_struct("Staging")
            .field("serial", &serial)
            .field("engine", engine)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Specimen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Specimen").field("engine", &self.engine).finish_non_exhaustive()
    }
}
