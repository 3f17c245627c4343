//! `DIR/credentials`: the AccessKey that the tools of this machine sign with.
//!
//! Two lines of `NAME=VALUE` with the names that SDKs read, so a shell can source the file.

use std::fs;
use std::io::{self, ErrorKind};

use ourkv_domain::ids::AccessKeyId;
use ourkv_domain::secret::Secret;

use super::{DataDir, data_dir};

/// The name of the id, in the file and in the environment of SDKs.
pub const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
/// The name of the secret, likewise.
pub const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";

/// An AccessKey pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Sent in the clear.
    pub id: AccessKeyId,
    /// Signs.
    pub secret: Secret,
}

impl Credentials {
    /// What the file of the directory holds; `None` where there is none.
    pub fn read(dir: &DataDir) -> io::Result<Option<Self>> {
        match fs::read_to_string(dir.credentials()) {
            Ok(text) => Self::parse(&text).map(Some).ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidData, format!("needs {ID}=… and {SECRET}=…"))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file of the directory.
    pub fn write(&self, dir: &DataDir) -> io::Result<()> {
        let text = format!("{ID}={}\n{SECRET}={}\n", self.id, self.secret.expose());
        data_dir::replace(&dir.credentials(), text.as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let id = AccessKeyId::parse(value(ID)?).ok()?;
        Some(Self { id, secret: Secret::from(value(SECRET)?) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        assert_eq!(Credentials::read(&dir).unwrap(), None);

        let key = Credentials {
            id: AccessKeyId::parse("LTAI5tExample").unwrap(),
            secret: Secret::from("a=b"),
        };
        key.write(&dir).unwrap();
        assert_eq!(Credentials::read(&dir).unwrap(), Some(key));
        let mode = fs::metadata(dir.credentials()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn half_a_pair_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(root.path()).unwrap();
        fs::write(dir.credentials(), format!("{ID}=LTAI5tExample\n")).unwrap();
        assert_eq!(Credentials::read(&dir).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
