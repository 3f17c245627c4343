//! `DIR/node`: the id of the machine that this directory makes one.

use std::fs;
use std::io::ErrorKind;

use ourkv_domain::ids::NodeId;
use ourkv_domain::mint::Mint;

use super::{DataDir, OpenError, data_dir};

/// The id of this directory's node, made at the first start.
pub(super) fn open_or_create(dir: &DataDir, mint: &Mint) -> Result<NodeId, OpenError> {
    let path = dir.node();
    let trouble = |source| OpenError::io("node file", &path, source);
    if !path.try_exists().map_err(trouble)? {
        match data_dir::create(&path, format!("{}\n", mint.node()).as_bytes()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(trouble)?,
        }
    }
    read(dir)
}

/// The id of this directory's node, which must be there.
pub(super) fn read(dir: &DataDir) -> Result<NodeId, OpenError> {
    let path = dir.node();
    let text =
        fs::read_to_string(&path).map_err(|error| OpenError::io("node file", &path, error))?;
    NodeId::parse(text.trim()).map_err(|_| OpenError::BadNode(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_node() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        let first = open_or_create(&dir, &Mint::from_seed([1; 32])).unwrap();
        assert_eq!(open_or_create(&dir, &Mint::from_seed([2; 32])).unwrap(), first);
        fs::write(dir.node(), "?").unwrap();
        assert!(matches!(read(&dir), Err(OpenError::BadNode(_))));
    }
}
