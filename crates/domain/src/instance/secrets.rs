//! The secrets of one instance, and how its tenant's password is replaced.
//!
//! A password is replaced in two strides, so that whoever is cut off between them leaves one that
//! works. First engines take the wanted one beside the former ones; when that is proven and
//! remembered, they refuse the former ones.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::secret::Secret;

/// The secrets of one instance. The store keeps them sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The tenant's password, as it is wanted; without one nobody can log in.
    pub password: Option<Secret>,
    /// The password of ourkv's own admin login.
    pub admin: Secret,
    /// The password of the replication link.
    pub replication: Secret,
    /// The change of the tenant's password that is under way, if any.
    pub change: Option<PasswordChange>,
}

/// A tenant's password that engines do not have alone yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Tells it from those before and after it.
    pub serial: i64,
    /// How far it is.
    pub stride: Stride,
    /// The passwords that engines may still have, the latest first; none where there was none.
    pub former: Vec<Secret>,
}

/// How far a change of a password is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
pub enum Stride {
    /// The wanted one is to get in, and the former ones still do.
    Adding,
    /// The wanted one gets in everywhere; no other should.
    Dropping,
}

impl Secrets {
    /// The passwords that let the tenant in, the wanted one first.
    pub fn accepted(&self) -> impl Iterator<Item = &Secret> {
        let adding = self.change.as_ref().filter(|change| change.stride == Stride::Adding);
        self.password.iter().chain(adding.into_iter().flat_map(|change| &change.former))
    }

    /// Every password of the tenant that an engine may know, the wanted one first.
    pub fn known(&self) -> impl Iterator<Item = &Secret> {
        self.password.iter().chain(self.change.iter().flat_map(|change| &change.former))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(stride: Option<Stride>) -> Secrets {
        let former = vec!["Middle-1".into(), "Oldest-1".into()];
        Secrets {
            password: Some("Wanted-1".into()),
            admin: "admin".into(),
            replication: "link".into(),
            change: stride.map(|stride| PasswordChange { serial: 2, stride, former }),
        }
    }

    fn texts<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Vec<&'a str> {
        secrets.map(Secret::expose).collect()
    }

    #[test]
    fn former_passwords_are_good_until_the_wanted_one_is_proven() {
        let all = ["Wanted-1", "Middle-1", "Oldest-1"];
        assert_eq!(texts(secrets(None).accepted()), all[..1]);
        assert_eq!(texts(secrets(Some(Stride::Adding)).accepted()), all);
        let dropping = secrets(Some(Stride::Dropping));
        assert_eq!(texts(dropping.accepted()), all[..1]);
        assert_eq!(texts(dropping.known()), all);
    }
}
