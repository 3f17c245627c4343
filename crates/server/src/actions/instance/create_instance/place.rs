//! Where a new instance goes: network, zone, address.

use std::net::Ipv4Addr;

use ourkv_domain::ids::{VSwitchId, VpcId, ZoneId};
use ourkv_domain::instance::Network;
use ourkv_domain::network::{Pool, VSwitch, usable};
use ourkv_store::Tx;

use super::request::Network as Asked;
use super::{Creation, Refusal};
use crate::actions::Failure;

/// Where a new instance may go.
pub(super) struct Site {
    pub(super) network: Network,
    zones: Vec<ZoneId>,
    pool: Pool,
    ip: Option<Ipv4Addr>,
}

/// The two addresses of an instance; they differ where this machine can't serve the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) private: Ipv4Addr,
    pub(super) serving: Ipv4Addr,
}

impl Creation {
    /// Existence: zone and network.
    pub(super) fn find_site(&self, tx: &mut Tx<'_>) -> Result<Site, Failure> {
        if let Some(zone) = &self.request.zone {
            self.region.zone(zone).ok_or(Refusal::UnknownZone)?;
        }
        match &self.request.network {
            Asked::Classic => Ok(self.classic()?),
            Asked::Vpc { vpc, vswitch, ip } => self.vpc(tx, vpc, vswitch, *ip),
        }
    }

    fn classic(&self) -> Result<Site, Refusal> {
        if !self.region.classic {
            return Err(Refusal::NoClassicNetwork);
        }
        let zones = match &self.request.zone {
            Some(zone) => vec![zone.clone()],
            None => self.region.zones.iter().map(|zone| zone.id.clone()).collect(),
        };
        Ok(Site { network: Network::Classic, zones, pool: Pool::Classic, ip: None })
    }

    fn vpc(
        &self,
        tx: &mut Tx<'_>,
        vpc: &VpcId,
        vswitch: &VSwitchId,
        ip: Option<Ipv4Addr>,
    ) -> Result<Site, Failure> {
        if !tx.vpc_service_is_up()? {
            return Err(Refusal::VpcServiceDown.into());
        }
        let found =
            tx.vpc(vpc)?.filter(|vpc| vpc.account == self.account && vpc.region == self.region.id);
        found.ok_or(Refusal::UnknownVpc)?;
        let vswitch = tx.vswitch(vswitch)?.filter(|found| {
            found.vpc == *vpc && self.request.zone.as_ref().is_none_or(|zone| *zone == found.zone)
        });
        let vswitch = vswitch.ok_or(Refusal::UnknownVSwitch)?;
        self.check_zone_has_vpc(tx, &vswitch.zone)?;
        check_ip(&vswitch, ip)?;
        Ok(Site {
            network: Network::Vpc { vpc: vpc.clone(), vswitch: vswitch.id.clone() },
            zones: vec![vswitch.zone],
            pool: Pool::VSwitch(vswitch.id),
            ip,
        })
    }

    fn check_zone_has_vpc(&self, tx: &mut Tx<'_>, zone: &ZoneId) -> Result<(), Failure> {
        let known = self.region.zone(zone).is_some_and(|zone| zone.vpc);
        if tx.zone_state(zone)?.vpc.unwrap_or(known) {
            Ok(())
        } else {
            Err(Refusal::ZoneWithoutVpc.into())
        }
    }

    /// Stock: the first of the zones that has room for the capacity.
    pub(super) fn reserve_zone(&self, tx: &mut Tx<'_>, site: &Site) -> Result<ZoneId, Failure> {
        for zone in &site.zones {
            if tx.reserve_capacity(zone, self.class.capacity_mb)? {
                return Ok(zone.clone());
            }
        }
        Err(Refusal::ZoneQuota.into())
    }

    /// Takes the address that was asked for, or the next one of the pool, and one that serves it.
    pub(super) fn take_address(&self, tx: &mut Tx<'_>, site: &Site) -> Result<Addresses, Failure> {
        let pool = site.pool.key(&self.platform.node);
        let private = match site.ip {
            Some(ip) => {
                tx.take_exact(&pool, ip, &self.id)?.map_err(|_| Refusal::IpInUse)?;
                ip
            }
            None => tx.take_next(&pool, &self.id)?.ok_or(Refusal::NoAddressLeft)?,
        };
        let served = Pool::Serving.key(&self.platform.node);
        let serves_itself = self.platform.serves.serve(private);
        if serves_itself && tx.take_exact(&served, private, &self.id)?.is_ok() {
            return Ok(Addresses { private, serving: private });
        }
        let serving = tx.take_next(&served, &self.id)?.ok_or(Refusal::NoAddressLeft)?;
        Ok(Addresses { private, serving })
    }
}

/// The page: the address must be inside the block of the vSwitch.
fn check_ip(vswitch: &VSwitch, ip: Option<Ipv4Addr>) -> Result<(), Refusal> {
    let inside = |ip| usable(vswitch.cidr).is_some_and(|(first, last)| first <= ip && ip <= last);
    if ip.is_none_or(inside) { Ok(()) } else { Err(Refusal::IpNotInSubnet) }
}
