//! Client tokens and the answers that they stand for.
//!
//! A fingerprint covers the whole request, its password too: it is kept sealed, or it would let
//! whoever has the database try passwords out.

use jiff::Timestamp;
use ourkv_domain::idempotency::{Fingerprint, RETENTION, Remembered, Scope};
use ourkv_domain::secret::Secret;

use crate::column::{columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Takes a token for this transaction, or returns what it was used for.
    ///
    /// `None` means that this transaction has it and must give the answer with
    /// [`Self::answer_token`]. Whoever asks for the same token meanwhile waits for this
    /// transaction to end. A token whose time is over starts anew.
    pub fn claim_token(
        &mut self,
        scope: &Scope,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        let expires = now.saturating_add(RETENTION).unwrap_or(Timestamp::MAX);
        let sealed = self.sealer().seal(&Secret::from(fingerprint.as_str()), &context(scope));
        let row = columns! {
            account: scope.account,
            region: scope.region,
            action: scope.action,
            token: scope.token.as_str(),
            fingerprint: sealed,
            expires_at: expires,
        };
        let values: Vec<_> = row.into_iter().map(|(_, value)| value).chain(values![now]).collect();
        let claimed = self.execute(
            "INSERT INTO tokens (account, region, action, token, fingerprint, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (account, region, action, token) DO UPDATE \
             SET fingerprint = excluded.fingerprint, answer = NULL, \
                 expires_at = excluded.expires_at \
             WHERE tokens.expires_at <= $7",
            &values,
        )?;
        if claimed == 1 { Ok(None) } else { self.remembered(scope).map(Some) }
    }

    /// Stores the answer of a token that this transaction claimed.
    pub fn answer_token(&mut self, scope: &Scope, answer: &str) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET answer = $1 \
                   WHERE account = $2 AND region = $3 AND action = $4 AND token = $5";
        let Scope { account, region, action, token } = scope;
        let written =
            self.execute(sql, &values![answer, account, region, action, token.as_str()])?;
        if written == 1 {
            Ok(())
        } else {
            Err(StoreError::Inconsistent { table: "tokens", column: "token" })
        }
    }

    /// Forgets the tokens whose time is over at `now`, and returns how many.
    pub fn forget_tokens(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM tokens WHERE expires_at <= $1", &values![now])
    }

    fn remembered(&mut self, scope: &Scope) -> Result<Remembered, StoreError> {
        let sql = "SELECT * FROM tokens \
                   WHERE account = $1 AND region = $2 AND action = $3 AND token = $4";
        let Scope { account, region, action, token } = scope;
        let row =
            self.select_one("tokens", sql, &values![account, region, action, token.as_str()])?;
        // It was there a moment ago; a job that forgets tokens may have come in between.
        let mut row = row.ok_or_else(|| self.collided())?;
        let sealed: Vec<u8> = row.take("fingerprint")?;
        let fingerprint = self.unseal(&sealed, &context(scope))?;
        Ok(Remembered {
            fingerprint: Fingerprint::stored(fingerprint.expose().to_owned()),
            answer: row.take("answer")?,
            expires: row.take("expires_at")?,
        })
    }
}

/// What binds a sealed fingerprint to its row.
fn context(scope: &Scope) -> String {
    let Scope { account, region, action, token } = scope;
    context_of(account.as_str(), region.as_str(), action, token.as_str())
}

/// The same, from the columns of the row.
pub(crate) fn context_of(account: &str, region: &str, action: &str, token: &str) -> String {
    format!("tokens.fingerprint/{account}/{region}/{action}/{token}")
}
