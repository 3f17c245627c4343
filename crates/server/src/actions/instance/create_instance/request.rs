//! The parameters of CreateInstance: one row of the page's table, one rule here.

use std::net::Ipv4Addr;

use ourkv_domain::backup::BackupId;
use ourkv_domain::billing::{AutoRenewPeriod, CouponWish, Months, Period};
use ourkv_domain::idempotency::{ClientToken, Fingerprint};
use ourkv_domain::ids::{InstanceId, RegionId, VSwitchId, VpcId, ZoneId};
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::{
    ChargeType, EngineVersion, InstanceType, NetworkType, NodeType, password,
};
use ourkv_domain::parameter::{ParameterError, Parameters};
use ourkv_domain::secret::Secret;
use ourkv_wire::{Fault, Params};

use super::Refusal;
use crate::actions::Parameter;
use crate::actions::backup::backup_id;
use crate::actions::parameter::{node_type, word};

/// Longest BusinessInfo taken, in characters; the page names no limit.
const LONGEST_BUSINESS_INFO: usize = 1024;

/// The page's table.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::required("RegionId", "The region, see DescribeRegions."),
    Parameter::optional("InstanceClass", "The class; this or Capacity must be given."),
    Parameter::optional("Capacity", "Memory in MB; this or InstanceClass must be given."),
    Parameter::optional("Token", "Makes a repeated call safe: at most 64 ASCII characters."),
    Parameter::optional(
        "InstanceName",
        "2 to 128 characters, a letter or Chinese character first.",
    ),
    Parameter::optional("Password", "8 to 32 characters of at least three kinds."),
    Parameter::optional("ZoneId", "The zone; one of the region is chosen where it is left out."),
    Parameter::optional("Config", "Engine parameters as a JSON object."),
    Parameter::optional("ChargeType", "PostPaid (default) or PrePaid."),
    Parameter::optional("NodeType", "MASTER_SLAVE (default) or STAND_ALONE."),
    Parameter::optional("NetworkType", "CLASSIC (default) or VPC."),
    Parameter::optional("VpcId", "The VPC; must be given for NetworkType VPC."),
    Parameter::optional("VSwitchId", "The vSwitch; must be given for NetworkType VPC."),
    Parameter::optional("Period", "Months, 1 to 9, 12, 24 or 36; for PrePaid, and only there."),
    Parameter::optional("BusinessInfo", "Kept on the order."),
    Parameter::optional("CouponNo", "The coupon to pay with."),
    Parameter::optional(
        "SrcDBInstanceId",
        "The instance whose backup to start from; it may be deleted.",
    ),
    Parameter::optional(
        "BackupId",
        "The backup to start from; the class must be as large, the version as new.",
    ),
    Parameter::optional("InstanceType", "Redis (default) or Memcache."),
    Parameter::optional("EngineVersion", "2.8 (default), 4.0 or 5.0."),
    Parameter::optional("PrivateIpAddress", "An address of the vSwitch."),
    Parameter::optional("AutoRenew", "true or false (default)."),
    Parameter::optional("AutoRenewPeriod", "Months, 1, 2, 3, 6 or 12; with AutoRenew."),
    Parameter::optional("AutoUseCoupon", "true or false (default): pay with the best coupon."),
    Parameter::optional("DryRun", "true: check everything, create nothing."),
];

/// A parsed request.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) region: RegionId,
    pub(super) size: Size,
    pub(super) token: Option<ClientToken>,
    pub(super) name: Option<InstanceName>,
    pub(super) password: Option<Secret>,
    pub(super) zone: Option<ZoneId>,
    pub(super) parameters: Parameters,
    pub(super) payment: Payment,
    pub(super) node_type: Option<NodeType>,
    pub(super) network: Network,
    pub(super) business_info: Option<String>,
    pub(super) coupon: CouponWish,
    pub(super) origin: Option<Origin>,
    pub(super) instance_type: InstanceType,
    pub(super) version: EngineVersion,
    pub(super) dry_run: bool,
    pub(super) fingerprint: Fingerprint,
}

/// How large; a class wins over a capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Size {
    /// By the code of a class.
    Class(String),
    /// By memory in MB.
    Capacity(i64),
}

/// How it is to be paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payment {
    Hourly,
    Ahead { months: Months, auto_renew: Option<Months> },
}

/// Where it is to hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Network {
    Classic,
    Vpc { vpc: VpcId, vswitch: VSwitchId, ip: Option<Ipv4Addr> },
}

/// Which data it is to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// Whose backup; it may be deleted.
    pub(super) source: InstanceId,
    /// Which of them.
    pub(super) backup: BackupId,
}

impl Request {
    /// Parses in the order of the page's table, so the first bad parameter is always the same.
    pub(super) fn parse(params: &Params) -> Result<Self, Fault> {
        let region = RegionId::parse(params.required("RegionId")?);
        let region = region.map_err(|_| Refusal::UnknownRegion)?;
        let size = size(params)?;
        let token = params.get("Token").or_else(|| params.get("ClientToken"));
        let token = token.map(ClientToken::parse).transpose();
        let token = token.map_err(|_| Refusal::MalformedToken)?;
        let name = params.get("InstanceName").map(InstanceName::parse).transpose();
        let name = name.map_err(|_| Refusal::MalformedName)?;
        let password = params.get("Password").map(password::parse).transpose();
        let password = password.map_err(|_| Refusal::MalformedPassword)?;
        let zone = params.get("ZoneId").map(ZoneId::parse).transpose();
        let zone = zone.map_err(|_| Refusal::UnknownZone)?;
        let instance_type = word(params, "InstanceType")?.unwrap_or_default();
        let version = version(params)?;
        Ok(Self {
            parameters: parameters(params, instance_type, version)?,
            payment: payment(params)?,
            node_type: node_type(params)?,
            network: network(params)?,
            business_info: business_info(params)?,
            coupon: coupon(params)?,
            origin: origin(params)?,
            dry_run: params.parse_bool("DryRun")?.unwrap_or(false),
            fingerprint: Fingerprint::of(params.iter()),
            region,
            size,
            token,
            name,
            password,
            zone,
            instance_type,
            version,
        })
    }
}

fn size(params: &Params) -> Result<Size, Fault> {
    let capacity = params.parse_int("Capacity")?;
    match (params.get("InstanceClass"), capacity) {
        (Some(class), _) => Ok(Size::Class(class.to_owned())),
        (None, Some(mb)) => Ok(Size::Capacity(mb)),
        (None, None) => Err(Refusal::SizeMissing.into()),
    }
}

fn version(params: &Params) -> Result<EngineVersion, Fault> {
    let Some(text) = params.get("EngineVersion") else {
        return Ok(EngineVersion::default());
    };
    text.parse().map_err(|_| Refusal::MalformedVersion.into())
}

fn parameters(
    params: &Params,
    kind: InstanceType,
    version: EngineVersion,
) -> Result<Parameters, Fault> {
    let Some(config) = params.get("Config") else {
        return Ok(Parameters::defaults(kind, version));
    };
    Parameters::parse_config(config, kind, version).map_err(|error| match error {
        ParameterError::NotForVersion { .. } => Refusal::ConfigNotForVersion.into(),
        ParameterError::Malformed | ParameterError::Invalid { .. } => {
            Refusal::MalformedConfig.into()
        }
    })
}

fn payment(params: &Params) -> Result<Payment, Fault> {
    let charge = word(params, "ChargeType")?.unwrap_or_default();
    let months = params.get("Period").map(Period::parse).transpose();
    let months = months.map_err(|_| Fault::malformed("Period"))?;
    let auto_renew = params.parse_bool("AutoRenew")?.unwrap_or(false);
    let renewal = params.get("AutoRenewPeriod").map(AutoRenewPeriod::parse).transpose();
    let renewal = renewal.map_err(|_| Fault::malformed("AutoRenewPeriod"))?;
    if auto_renew && renewal.is_none() {
        return Err(Fault::missing("AutoRenewPeriod"));
    }
    match (charge, months) {
        (ChargeType::PrePaid, None) => Err(Refusal::PeriodMissing.into()),
        (ChargeType::PostPaid, Some(_)) => Err(Refusal::PeriodUnsupported.into()),
        (ChargeType::PostPaid, None) => Ok(Payment::Hourly),
        (ChargeType::PrePaid, Some(period)) => Ok(Payment::Ahead {
            months: period.months(),
            auto_renew: renewal.filter(|_| auto_renew).map(AutoRenewPeriod::months),
        }),
    }
}

fn network(params: &Params) -> Result<Network, Fault> {
    let ip = params.get("PrivateIpAddress").map(str::parse::<Ipv4Addr>).transpose();
    let ip = ip.map_err(|_| Fault::malformed("PrivateIpAddress"))?;
    match word(params, "NetworkType")?.unwrap_or_default() {
        NetworkType::Classic if ip.is_some() => Err(Refusal::IpNotInSubnet.into()),
        NetworkType::Classic => Ok(Network::Classic),
        NetworkType::Vpc => Ok(Network::Vpc {
            vpc: VpcId::parse(params.required("VpcId")?).map_err(|_| Refusal::UnknownVpc)?,
            vswitch: VSwitchId::parse(params.required("VSwitchId")?)
                .map_err(|_| Refusal::UnknownVSwitch)?,
            ip,
        }),
    }
}

fn business_info(params: &Params) -> Result<Option<String>, Fault> {
    let Some(text) = params.get("BusinessInfo") else {
        return Ok(None);
    };
    if text.chars().count() > LONGEST_BUSINESS_INFO {
        return Err(Fault::malformed("BusinessInfo"));
    }
    Ok(Some(text.to_owned()))
}

fn coupon(params: &Params) -> Result<CouponWish, Fault> {
    let automatic = params.parse_bool("AutoUseCoupon")?.unwrap_or(false);
    let wish = CouponWish::parse(params.get("CouponNo"), automatic);
    wish.map_err(|_| Refusal::UnknownCoupon.into())
}

/// Both of SrcDBInstanceId and BackupId, or neither.
fn origin(params: &Params) -> Result<Option<Origin>, Fault> {
    if params.get("SrcDBInstanceId").is_none() && params.get("BackupId").is_none() {
        return Ok(None);
    }
    let source = InstanceId::parse(params.required("SrcDBInstanceId")?);
    let source = source.map_err(|_| Fault::malformed("SrcDBInstanceId"))?;
    Ok(Some(Origin { source, backup: backup_id(params)? }))
}

#[cfg(test)]
mod tests;
