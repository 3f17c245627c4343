//! Who calls: security token, key, signature, time, nonce, rate; in this order.
//!
//! A security token comes with a temporary key that no service here issued: the caller is told
//! about the token, not about the key that belongs to it.
//!
//! The nonce comes after the signature, so that a stranger can't burn one, and before anything
//! is done. It is burnt in the store: it stays refused after a restart and in every process on
//! the same database.

use jiff::Timestamp;
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::ids::AccessKeyId;
use ourkv_wire::{Call, common};

use super::Gateway;
use crate::actions::{Caller, Failure};

impl Gateway {
    /// The caller, if the call proves to be theirs.
    pub(super) async fn authenticate(
        &self,
        call: &Call,
        now: Timestamp,
    ) -> Result<Caller, Failure> {
        if call.security_token.is_some() {
            return Err(common::token_refused().into());
        }
        let key = self.key(&call.access_key_id).await?;
        if !key.active {
            return Err(common::key_inactive().into());
        }
        call.verify(key.secret.expose())?;
        call.check_time(now)?;
        call.check_format()?;
        if !self.0.throttle.admits(&key) {
            return Err(common::throttled().into());
        }
        let (id, nonce, expires) = (key.id.clone(), call.nonce.clone(), call.nonce_expires());
        let fresh = self
            .0
            .platform
            .store
            .write(move |tx| Ok::<_, Failure>(tx.burn_nonce(&id, &nonce, expires)?));
        if !fresh.await? {
            return Err(common::nonce_used().into());
        }
        Ok(Caller { account: key.account, access_key: key.id })
    }

    async fn key(&self, id: &str) -> Result<AccessKey, Failure> {
        let id = AccessKeyId::parse(id).map_err(|_| common::key_not_found())?;
        let found = self.0.platform.store.look_up(move |tx| Ok::<_, Failure>(tx.access_key(&id)?));
        found.await?.ok_or_else(|| common::key_not_found().into())
    }
}
