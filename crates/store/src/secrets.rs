//! The secrets of instances, and the passwords that are being replaced.
//!
//! What is wanted and what engines may still have are both here until a login with the wanted
//! password was proven and the former ones are refused: whoever is cut off in between finds what
//! is left to do, and a way into every engine.

use ourkv_domain::event::Event;
use ourkv_domain::ids::InstanceId;
use ourkv_domain::instance::{PasswordChange, Secrets, Stride};
use ourkv_domain::secret::Secret;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

/// How many former passwords are kept of an instance, at most.
const FORMER_AT_MOST: i64 = 16;

impl Tx<'_> {
    pub(crate) fn insert_secrets(
        &mut self,
        id: &InstanceId,
        secrets: &Secrets,
    ) -> Result<(), StoreError> {
        let Secrets { password, admin, replication, change: _ } = secrets;
        let row = columns! {
            instance: id,
            password: password.as_ref().map(|password| self.seal_for(id, "password", password)),
            admin: self.seal_for(id, "admin", admin),
            replication: self.seal_for(id, "replication", replication),
        };
        self.insert("instance_secrets", &row, "").map(|_| ())
    }

    /// The secrets of an instance.
    pub fn secrets(&mut self, id: &InstanceId) -> Result<Option<Secrets>, StoreError> {
        let sql = "SELECT * FROM instance_secrets WHERE instance = $1";
        let Some(mut row) = self.select_one("instance_secrets", sql, &values![id])? else {
            return Ok(None);
        };
        let password: Option<Vec<u8>> = row.take("password")?;
        let password = password.map(|sealed| self.unseal_for(id, "password", &sealed));
        let (admin, replication): (Vec<u8>, Vec<u8>) =
            (row.take("admin")?, row.take("replication")?);
        let (serial, stride) =
            (row.take("change_serial")?, row.take::<Option<_>>("change_stride")?);
        let change = match stride {
            Some(stride) => Some(PasswordChange { serial, stride, former: self.former(id)? }),
            None => None,
        };
        Ok(Some(Secrets {
            password: password.transpose()?,
            admin: self.unseal_for(id, "admin", &admin)?,
            replication: self.unseal_for(id, "replication", &replication)?,
            change,
        }))
    }

    /// Has a tenant's password replaced, and raises the generation of its instance. Returns the
    /// number of the change; `None` if there is no such instance, or if it has so many former
    /// passwords already that its engines did not yet get to refuse.
    pub fn change_password(
        &mut self,
        id: &InstanceId,
        password: &Secret,
    ) -> Result<Option<i64>, StoreError> {
        let raise = "UPDATE instances SET generation = generation + 1 WHERE id = $1";
        if self.execute(raise, &values![id])? == 0 {
            return Ok(None);
        }
        let count = "SELECT count(*) AS kept FROM former_passwords WHERE instance = $1";
        let kept = self.count("former_passwords", count, &values![id], "kept")?;
        let Some(before) = self.secrets(id)?.filter(|_| kept < FORMER_AT_MOST) else {
            return Ok(None);
        };
        let sql = "UPDATE instance_secrets SET password = $1, change_stride = $2, \
                   change_serial = change_serial + 1 WHERE instance = $3 RETURNING change_serial";
        let sealed = self.seal_for(id, "password", password);
        let row = self.select_one("instance_secrets", sql, &values![sealed, Stride::Adding, id])?;
        let Some(serial) = row.map(|mut row| row.take("change_serial")).transpose()? else {
            return Ok(None);
        };
        if let Some(former) = before.password {
            let sealed = self.sealer().seal(&former, &former_context(id, serial));
            let row = columns! { instance: id, serial: serial, password: sealed };
            self.insert("former_passwords", &row, "")?;
        }
        Ok(Some(serial))
    }

    /// Remembers that the wanted password gets in everywhere, and forgets the former ones. False
    /// unless the change of that number is the last one and has not come so far.
    pub fn password_added(&mut self, id: &InstanceId, serial: i64) -> Result<bool, StoreError> {
        let next = Some(Stride::Dropping);
        let done = self.advance(id, serial, Stride::Adding, next)?;
        if done {
            self.execute("DELETE FROM former_passwords WHERE instance = $1", &values![id])?;
        }
        Ok(done)
    }

    /// Remembers that no other password than the wanted one gets in, with its line in the journal.
    /// False unless the change of that number is the last one and has come so far.
    pub fn end_password_change(
        &mut self,
        id: &InstanceId,
        serial: i64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let done = self.advance(id, serial, Stride::Dropping, None)?;
        if done {
            self.append_event(event)?;
        }
        Ok(done)
    }

    fn advance(
        &mut self,
        id: &InstanceId,
        serial: i64,
        from: Stride,
        to: Option<Stride>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE instance_secrets SET change_stride = $1 \
                   WHERE instance = $2 AND change_serial = $3 AND change_stride = $4";
        Ok(self.execute(sql, &values![to, id, serial, from])? == 1)
    }

    fn former(&mut self, id: &InstanceId) -> Result<Vec<Secret>, StoreError> {
        let sql = "SELECT * FROM former_passwords WHERE instance = $1 ORDER BY serial DESC";
        let rows = self.select("former_passwords", sql, &values![id])?;
        let read = |mut row: crate::column::Row| {
            let serial = row.take("serial")?;
            let sealed: Vec<u8> = row.take("password")?;
            self.unseal(&sealed, &former_context(id, serial))
        };
        rows.into_iter().map(read).collect()
    }

    fn seal_for(&self, id: &InstanceId, column: &str, secret: &Secret) -> Vec<u8> {
        self.sealer().seal(secret, &context(id, column))
    }

    fn unseal_for(
        &self,
        id: &InstanceId,
        column: &str,
        sealed: &[u8],
    ) -> Result<Secret, StoreError> {
        self.unseal(sealed, &context(id, column))
    }
}

/// What binds a sealed secret to its row and column.
pub(crate) fn context(id: &InstanceId, column: &str) -> String {
    format!("instance_secrets/{column}/{id}")
}

/// What binds a sealed former password to its row.
pub(crate) fn former_context(id: &InstanceId, serial: i64) -> String {
    format!("former_passwords/password/{id}/{serial}")
}
