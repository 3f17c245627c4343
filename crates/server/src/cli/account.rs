//! `ourkv account`: who owns instances, and every fact about them that a call may be refused for.

use anyhow::Context as _;
use clap::{ArgAction, Args, Subcommand};
use jiff::Timestamp;
use ourkv_domain::account::Account as Stored;
use ourkv_domain::billing::Money;
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::AccountId;
use ourkv_store::Tx;
use serde::Serialize;

use super::Context;

/// Manage accounts: balance, verification, quotas
#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// List the accounts; the first one is the root account
    Ls,
    /// Show an account
    Show(Which),
    /// Add an account; `ourkv key create` then gives it a key
    Create(Create),
    /// Change what is given and leave the rest
    Set(Set),
}

/// The account that a command is about.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// Id of the account [default: the root account]
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What to call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Args)]
struct Facts {
    /// Money on the account, such as 12.50; below zero it is in arrears
    #[arg(long, value_name = "CNY", allow_negative_numbers = true)]
    balance: Option<Money>,
    /// Whether the account passed the real-name authentication
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    real_name: Option<bool>,
    /// Whether a means of payment is on file
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    payment_method: Option<bool>,
    /// Whether it belongs to a financial institution
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    finance: Option<bool>,
    /// Hourly-paid instances that it may have in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    postpaid_quota: Option<i64>,
    /// Hourly-paid instances that it may have in one region
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    postpaid_quota_per_region: Option<i64>,
}

#[derive(Serialize)]
struct Row {
    id: AccountId,
    name: String,
    balance: String,
    real_name: bool,
    payment_method: bool,
    finance: bool,
    postpaid_quota: i64,
    postpaid_quota_per_region: i64,
    arrears_since: Option<Timestamp>,
    created_at: Timestamp,
}

impl Which {
    /// The account, which must exist.
    pub(super) fn find(&self, tx: &mut Tx<'_>) -> anyhow::Result<Stored> {
        let Some(id) = &self.account else {
            let oldest = tx.accounts()?.into_iter().next();
            return oldest.context("there is no account; start `ourkv serve` once");
        };
        let unknown = || format!("there is no account {id}; `ourkv account ls` lists them");
        tx.account(id)?.with_context(unknown)
    }
}

impl Account {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        let (store, now) = (&opened.store, opened.clock.now());
        let changed = match self {
            Self::Ls => {
                let accounts = store.read(|tx| anyhow::Ok(tx.accounts()?)).await?;
                let rows: Vec<_> = accounts.into_iter().map(Row::of).collect();
                return context.output.list(&rows);
            }
            Self::Show(which) => store.read(move |tx| which.find(tx)).await?,
            Self::Create(create) => {
                let mut account = blank(opened.mint.account(), create.name, now);
                create.facts.apply(&mut account, now);
                let created = account.clone();
                store.write(move |tx| anyhow::Ok(tx.insert_account(&account)?)).await?;
                created
            }
            Self::Set(Set { which, facts }) => {
                let change = move |tx: &mut Tx<'_>| {
                    let id = which.find(tx)?.id;
                    let mut account = tx.lock_account(&id)?.context("the account is gone")?;
                    facts.apply(&mut account, now);
                    tx.save_account(&account)?;
                    anyhow::Ok(account)
                };
                store.write(change).await?
            }
        };
        context.output.show(&Row::of(changed))
    }
}

/// An account that may do nothing yet.
fn blank(id: AccountId, name: String, now: Timestamp) -> Stored {
    Stored {
        id,
        name,
        balance: Money::ZERO,
        real_name: false,
        payment_method: false,
        finance: false,
        postpaid_quota: 0,
        postpaid_quota_per_region: 0,
        arrears_since: None,
        created_at: now,
    }
}

impl Facts {
    fn apply(&self, account: &mut Stored, now: Timestamp) {
        let Self {
            balance,
            real_name,
            payment_method,
            finance,
            postpaid_quota,
            postpaid_quota_per_region,
        } = self;
        if let Some(balance) = *balance {
            account.balance = balance;
            let since = account.arrears_since.unwrap_or(now);
            account.arrears_since = (balance < Money::ZERO).then_some(since);
        }
        account.real_name = real_name.unwrap_or(account.real_name);
        account.payment_method = payment_method.unwrap_or(account.payment_method);
        account.finance = finance.unwrap_or(account.finance);
        account.postpaid_quota = postpaid_quota.unwrap_or(account.postpaid_quota);
        account.postpaid_quota_per_region =
            postpaid_quota_per_region.unwrap_or(account.postpaid_quota_per_region);
    }
}

impl Row {
    fn of(account: Stored) -> Self {
        Self {
            id: account.id,
            name: account.name,
            balance: account.balance.to_string(),
            real_name: account.real_name,
            payment_method: account.payment_method,
            finance: account.finance,
            postpaid_quota: account.postpaid_quota,
            postpaid_quota_per_region: account.postpaid_quota_per_region,
            arrears_since: account.arrears_since,
            created_at: account.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrears_begin_with_the_first_balance_below_zero_and_end_with_the_next_above() {
        let balance = |text: &str| Facts {
            balance: Some(text.parse().unwrap()),
            real_name: None,
            payment_method: None,
            finance: None,
            postpaid_quota: None,
            postpaid_quota_per_region: None,
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let id = AccountId::parse("1").unwrap();
        let mut account = blank(id, "a".into(), at(0));

        balance("-1").apply(&mut account, at(1));
        balance("-2").apply(&mut account, at(2));
        assert_eq!(account.arrears_since, Some(at(1)));
        balance("0").apply(&mut account, at(3));
        assert_eq!(account.arrears_since, None);
    }
}
