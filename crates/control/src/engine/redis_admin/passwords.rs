//! Orders about who may log in with which password. Sessions go on, and so does replication: its
//! link logs in with secrets of its own, or has logged in already.

use ourkv_domain::secret::Secret;
use redis::Pipeline;

use super::{Admin, AdminError};
use crate::engine::acl::User;

impl Admin {
    /// Gives users their rules, in the place of all that they had. Each user has the old or the
    /// new ones at any time.
    pub async fn set_users(&mut self, users: &[User]) -> Result<(), AdminError> {
        let mut orders = Pipeline::new();
        for User { name, rules } in users {
            orders.cmd("ACL").arg("SETUSER").arg(name).arg("reset").arg(rules).ignore();
        }
        Ok(orders.query_async::<()>(&mut self.connection).await?)
    }

    /// Replaces the one password of an engine without users (before 6.0), and the one that it
    /// follows its master with.
    pub async fn set_password(&mut self, password: &Secret) -> Result<(), AdminError> {
        for setting in ["masterauth", "requirepass"] {
            self.configure(setting, password.expose()).await?;
        }
        Ok(())
    }

    /// Logs in as a tenant does, by each of these forms, and ends: it is nobody's connection any
    /// more. An error where one of them is refused.
    pub async fn log_in_as_tenant(mut self, forms: &[Vec<String>]) -> Result<(), AdminError> {
        let mut logins = Pipeline::new();
        for form in forms {
            logins.cmd("AUTH").arg(form).ignore().cmd("PING").ignore();
        }
        Ok(logins.query_async::<()>(&mut self.connection).await?)
    }
}
