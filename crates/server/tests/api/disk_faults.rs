//! Disks that fail while ourkv serves.
