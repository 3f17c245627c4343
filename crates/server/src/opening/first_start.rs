//! The first start: a root account that can buy, its AccessKey, and default networks.
//!
//! All of it is one transaction, and the credentials file is durable before that commits: a crash
//! in between leaves a key file without an account, which the next start takes up again. A key in
//! the environment of a later start is added to the root account.

use ourkv_control::substrate::local;
use ourkv_domain::access_key::AccessKey;
use ourkv_domain::account::Account;
use ourkv_domain::billing::Money;
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::AccessKeyId;
use ourkv_domain::secret::Secret;
use ourkv_store::{StoreError, Tx};

use super::{Credentials, OpenError, Opened, networks, run};
use crate::config::Environment;

/// Enough for anything that one machine can hold.
const BALANCE_YUAN: i64 = 1_000_000;
/// Hourly-paid instances, in all and in each region; the vendor's 30 would hinder development.
const POSTPAID_QUOTA: i64 = 1000;
/// The name of the account that exists from the start.
const ROOT: &str = "root";
const SECRET_LENGTH: usize = 30;
/// The setting that nodes meet at which want to make the root account.
const FOUNDING: &str = "founding";

/// The key that an operator wants the root account to have.
#[derive(Debug, Clone)]
pub struct FirstKey(Option<Credentials>);

/// What became of the root account's key.
#[derive(Debug, Clone)]
pub enum RootKey {
    /// This is the first start: show the key, once.
    Fresh(Credentials),
    /// There is nothing to show.
    Known,
}

impl FirstKey {
    /// `OURKV_ACCESS_KEY_ID` and `OURKV_ACCESS_KEY_SECRET`: both or neither.
    pub fn of(environment: &Environment) -> Result<Self, OpenError> {
        let id = environment.get("OURKV_ACCESS_KEY_ID");
        let secret = environment.get("OURKV_ACCESS_KEY_SECRET");
        match (id, secret) {
            (None, None) => Ok(Self(None)),
            (Some(id), Some(secret)) => {
                let id = AccessKeyId::parse(id).map_err(|_| OpenError::BadKeyId)?;
                Ok(Self(Some(Credentials { id, secret: Secret::from(secret) })))
            }
            _ => Err(OpenError::HalfAKey),
        }
    }
}

impl Opened {
    /// Sees to it that there is a root account with the wanted key, networks and the pools of
    /// this node, and that nothing counts as seen that was seen before the machine restarted;
    /// changes nothing else that is there.
    pub async fn furnish(&self, wanted: FirstKey) -> Result<RootKey, OpenError> {
        let block = self.block;
        let (node, now, present) = (self.node.clone(), self.clock.now(), run::present());
        let (accounts, lost) = self
            .store
            .write(move |tx| {
                networks::write_pools_of_node(tx, block, &node)?;
                let lost = run::keep(tx, &node, present.as_deref(), now)?;
                Ok::<_, StoreError>((tx.accounts()?, lost))
            })
            .await?;
        if lost > 0 {
            tracing::info!(instances = lost, "the machine was restarted");
        }
        let engines = local::is_inhabited(self.dir.path());
        if accounts.is_empty()
            && engines.map_err(|error| OpenError::io("engines", self.dir.path(), error))?
        {
            return Err(OpenError::StoreForgot(self.dir.path().to_owned()));
        }
        match (accounts.is_empty(), wanted.0) {
            (true, wanted) => self.found_root(wanted).await,
            (false, Some(key)) => self.add_key(key).await,
            (false, None) => Ok(RootKey::Known),
        }
    }

    async fn found_root(&self, wanted: Option<Credentials>) -> Result<RootKey, OpenError> {
        let from_environment = wanted.is_some();
        let left_over = self.read_credentials()?;
        let key = wanted.or(left_over).unwrap_or_else(|| Credentials {
            id: self.mint.access_key(),
            secret: self.mint.secret(SECRET_LENGTH),
        });
        self.write_credentials(&key)?;

        let root = self.root_account();
        let access_key = self.access_key(&key, &root);
        let networks = networks::defaults(Catalogue::builtin(), self.block, &self.mint, &root.id);
        let node = self.node.clone();
        let founded = self
            .store
            .write(move |tx: &mut Tx<'_>| {
                // Another node may have been first on a shared database. Of two that found at once
                // one waits here, and looks when the other one is done.
                tx.set_setting(FOUNDING, "done")?;
                if !tx.accounts()?.is_empty() {
                    return Ok::<_, StoreError>(false);
                }
                tx.insert_account(&root)?;
                tx.insert_access_key(&access_key)?;
                networks::write(tx, &networks, &node)?;
                Ok(true)
            })
            .await?;
        match (founded, from_environment) {
            (true, false) => Ok(RootKey::Fresh(key)),
            (true, true) => Ok(RootKey::Known),
            (false, true) => self.add_key(key).await,
            (false, false) => {
                self.remove_credentials()?;
                Ok(RootKey::Known)
            }
        }
    }

    /// Gives the root account a key, or one of its keys another secret.
    async fn add_key(&self, key: Credentials) -> Result<RootKey, OpenError> {
        let (opened, wanted) = (self.clone(), key.clone());
        let added = self
            .store
            .write(move |tx| {
                let Some(root) = tx.accounts()?.into_iter().next() else {
                    return Ok(false);
                };
                // Nodes that start at once may want the same key.
                tx.lock_account(&root.id)?;
                match tx.access_key(&wanted.id)? {
                    Some(known) if known.account != root.id => return Ok(false),
                    Some(known) if known.secret == wanted.secret => {}
                    Some(known) => {
                        let secret = wanted.secret.clone();
                        tx.save_access_key(&AccessKey { secret, ..known })?;
                    }
                    None => tx.insert_access_key(&opened.access_key(&wanted, &root))?,
                }
                Ok::<_, StoreError>(true)
            })
            .await?;
        if !added {
            return Err(OpenError::ForeignKey);
        }
        if self.read_credentials()?.as_ref() != Some(&key) {
            self.write_credentials(&key)?;
        }
        Ok(RootKey::Known)
    }

    fn root_account(&self) -> Account {
        Account {
            id: self.mint.account(),
            name: ROOT.into(),
            balance: Money::from_yuan(BALANCE_YUAN).unwrap_or(Money::ZERO),
            real_name: true,
            payment_method: true,
            finance: false,
            postpaid_quota: POSTPAID_QUOTA,
            postpaid_quota_per_region: POSTPAID_QUOTA,
            arrears_since: None,
            created_at: self.clock.now(),
        }
    }

    fn access_key(&self, key: &Credentials, account: &Account) -> AccessKey {
        AccessKey {
            id: key.id.clone(),
            secret: key.secret.clone(),
            account: account.id.clone(),
            active: true,
            calls_per_second: None,
            created_at: self.clock.now(),
        }
    }

    fn read_credentials(&self) -> Result<Option<Credentials>, OpenError> {
        let read = Credentials::read(&self.dir);
        read.map_err(|error| OpenError::io("credentials", &self.dir.credentials(), error))
    }

    fn write_credentials(&self, key: &Credentials) -> Result<(), OpenError> {
        let written = key.write(&self.dir);
        written.map_err(|error| OpenError::io("credentials", &self.dir.credentials(), error))
    }

    fn remove_credentials(&self) -> Result<(), OpenError> {
        let path = self.dir.credentials();
        std::fs::remove_file(&path).map_err(|error| OpenError::io("credentials", &path, error))
    }
}
