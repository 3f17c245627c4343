//! The audit trail. Lines come in masked; see `ourkv_domain::audit`.

use jiff::Timestamp;
use ourkv_domain::audit::AuditLine;

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::instance_filter::pattern;
use crate::tx::Tx;

impl Tx<'_> {
    /// Adds a line.
    pub fn append_audit(&mut self, line: &AuditLine) -> Result<(), StoreError> {
        let AuditLine {
            request_id,
            at,
            action,
            account,
            access_key,
            source,
            parameters,
            status,
            code,
        } = line;
        let row = columns! {
            request_id: request_id,
            called_at: at,
            action: action,
            account: account,
            access_key: access_key,
            source: source,
            parameters: parameters,
            status: status,
            code: code,
        };
        self.insert("audit", &row, "").map(|_| ())
    }

    /// Up to `limit` lines, latest first: all, or those whose request id, action, account, key or
    /// parameters contain a text, whatever its case.
    pub fn audit_lines(
        &mut self,
        limit: i64,
        containing: Option<&str>,
    ) -> Result<Vec<AuditLine>, StoreError> {
        let rows = match containing {
            None => {
                let sql = "SELECT * FROM audit ORDER BY called_at DESC, request_id LIMIT $1";
                self.select("audit", sql, &values![limit])?
            }
            Some(text) => {
                let sql = "SELECT * FROM audit \
                           WHERE lower(request_id || ' ' || action || ' ' \
                                       || coalesce(account, '') || ' ' \
                                       || coalesce(access_key, '') || ' ' || parameters) \
                                 LIKE $1 ESCAPE '!' \
                           ORDER BY called_at DESC, request_id LIMIT $2";
                self.select("audit", sql, &values![pattern(text), limit])?
            }
        };
        rows.into_iter().map(read).collect()
    }

    /// Forgets the lines from before that instant, and returns how many.
    pub fn forget_audit(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM audit WHERE called_at < $1", &values![before])
    }
}

fn read(mut row: Row) -> Result<AuditLine, StoreError> {
    Ok(AuditLine {
        request_id: row.take("request_id")?,
        at: row.take("called_at")?,
        action: row.take("action")?,
        account: row.take("account")?,
        access_key: row.take("access_key")?,
        source: row.take("source")?,
        parameters: row.take("parameters")?,
        status: row.take("status")?,
        code: row.take("code")?,
    })
}
