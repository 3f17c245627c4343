//! `ourkv coupon`: discounts, each good for one order.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use ourkv_domain::billing::{Coupon as Stored, Money};
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{AccountId, CouponNo, OrderId};
use ourkv_store::Tx;
use serde::Serialize;

use super::Context;
use super::account::Which;

/// Manage coupons
#[derive(Debug, Subcommand)]
pub(super) enum Coupon {
    /// List the coupons of an account
    Ls(Which),
    /// Give a coupon to an account
    Create(Create),
}

#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    #[command(flatten)]
    owner: Which,
    /// What it takes off
    #[arg(long, value_name = "CNY")]
    amount: Money,
    /// The smallest price for which it may be used
    #[arg(long, value_name = "CNY", default_value = "0")]
    min_spend: Money,
    /// When it ends, such as 2030-01-01T00:00:00Z [default: in a year]
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
}

#[derive(Serialize)]
struct Row {
    no: CouponNo,
    account: AccountId,
    amount: String,
    min_spend: String,
    expires: Timestamp,
    used_by: Option<OrderId>,
}

impl Coupon {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let opened = context.open().await?;
        match self {
            Self::Ls(which) => {
                let read = move |tx: &mut Tx<'_>| {
                    let account = which.find(tx)?.id;
                    anyhow::Ok(tx.coupons(&account)?)
                };
                let coupons = opened.store.read(read).await?;
                context.output.list(&coupons.into_iter().map(Row::of).collect::<Vec<_>>())
            }
            Self::Create(create) => {
                let no = opened.mint.coupon();
                let now = opened.clock.now().round(jiff::Unit::Second)?;
                let in_a_year = now.saturating_add(SignedDuration::from_hours(365 * 24))?;
                let insert = move |tx: &mut Tx<'_>| {
                    let coupon = Stored {
                        no: no.clone(),
                        account: create.owner.find(tx)?.id,
                        amount: create.amount,
                        min_spend: create.min_spend,
                        expires: create.expires.unwrap_or(in_a_year),
                        used_by: None,
                    };
                    tx.insert_coupon(&coupon)?;
                    anyhow::Ok(coupon)
                };
                context.output.show(&Row::of(opened.store.write(insert).await?))
            }
        }
    }
}

impl Row {
    fn of(coupon: Stored) -> Self {
        Self {
            no: coupon.no,
            account: coupon.account,
            amount: coupon.amount.to_string(),
            min_spend: coupon.min_spend.to_string(),
            expires: coupon.expires,
            used_by: coupon.used_by,
        }
    }
}
