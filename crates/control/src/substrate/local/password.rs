//! Replacing the tenant's password in engines that run.
//!
//! From 6.0 on an engine takes the wanted password beside the former ones, and refuses those later.
//! An older one has one password, and memcached one for each login: there the wanted one takes the
//! place of the former one at once. Sessions go on in any case, and the link between the engines of
//! a pair stays up. Nothing is saved: what an engine starts with is told to it at every start.

use super::answer::prompt;
use super::confine::Cell;
use super::member::Running;
use super::{Inner, Kind, Member, Trouble, Unit, blocking, logins, machine};
use crate::engine::{acl, rename, tenant};
use crate::substrate::Health;

const ADMITTING: &str = "having the engine take the password";
const PROVING: &str = "logging in with the password";
const DISMISSING: &str = "having the engine refuse former passwords";

impl Inner {
    /// Has every engine that runs take the wanted password, and logs in to each with it.
    pub(super) async fn admit_password(&self, unit: &Unit) -> Result<(), Trouble> {
        for (member, running) in self.all_running(unit).await? {
            if running.binary.kind == Kind::Memcached {
                self.rewrite_logins(unit, member).await?;
            } else {
                self.admit(unit, member, &running).await?;
            }
        }
        Ok(())
    }

    /// Has every engine that runs refuse all passwords but the wanted one.
    pub(super) async fn dismiss_passwords(&self, unit: &Unit) -> Result<(), Trouble> {
        for (member, running) in self.all_running(unit).await? {
            if running.binary.kind != Kind::Memcached && running.binary.has_acl() {
                let mut admin = self.admin(unit, member, &running).await?;
                prompt(DISMISSING, admin.ping()).await?;
                let users = acl::tenant(unit, &running.binary);
                prompt(DISMISSING, admin.set_users(&users)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn rewrite_logins(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let directory = self.layout.member(unit, member);
        let (confiner, unit) = (self.confiner.clone(), unit.clone());
        blocking(move || {
            let user = confiner.user_at(*unit.address.ip());
            let cell = Cell { directory: &directory, user, port: None, priority: None };
            let written = logins::write(&unit, &confiner, cell);
            written.map_err(machine("writing the login database (saslpasswd2)"))
        })
        .await
    }

    async fn admit(&self, unit: &Unit, member: Member, running: &Running) -> Result<(), Trouble> {
        let mut admin = self.admin(unit, member, running).await?;
        prompt(ADMITTING, admin.ping()).await?;
        if running.binary.has_acl() {
            let users = acl::tenant(unit, &running.binary);
            prompt(ADMITTING, admin.set_users(&users)).await?;
        } else {
            prompt(ADMITTING, admin.set_password(rename::password(&unit.secrets))).await?;
        }
        let Some(password) = &unit.secrets.password else { return Ok(()) };
        let forms = tenant::forms(unit.id.as_str(), password, &running.binary);
        prompt(PROVING, admin.log_in_as_tenant(&forms)).await
    }

    /// The engines that run, the replica first: where both have one password, it has to know the
    /// wanted one before its master asks for it. An error where one of them does not answer: it
    /// would keep what it has.
    async fn all_running(&self, unit: &Unit) -> Result<Vec<(Member, Running)>, Trouble> {
        let mut found = Vec::new();
        for member in unit.replica().into_iter().chain([unit.lead.master]) {
            if self.health(unit, member).await? == Some(Health::Starting) {
                let answer = "it does not answer yet".into();
                return Err(Trouble::Unexpected { doing: ADMITTING, answer });
            }
            if let Some(running) = self.look(unit, member).await? {
                found.push((member, running));
            }
        }
        Ok(found)
    }
}
