//! The zone that is served: its apex, its own records, and which names can exist in it.

use std::net::Ipv4Addr;

use hickory_server::proto::rr::rdata::{A, NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use ourkv_domain::catalogue::Catalogue;
use ourkv_domain::ids::RegionId;

/// Seconds that an answer may be kept: addresses of endpoints move rarely, and when one does,
/// clients that resolve the name again should find it soon.
pub(super) const TTL: u32 = 5;

/// Seconds that the zone's own records may be kept; they never change.
const ZONE_TTL: u32 = 3600;

/// What stands between an instance's id and the suffix: these, with or without a region.
const PRODUCTS: &[&str] = &["redis", "memcache"];

/// The zone.
pub(super) struct Zone {
    apex: LowerName,
    server: LowerName,
    soa: Record,
    ns: Record,
    own_address: Option<Ipv4Addr>,
}

/// What a name is to the zone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It belongs to another zone.
    Outside,
    /// The suffix itself.
    Apex,
    /// The name of this server.
    Server,
    /// Nothing itself, and names exist below it.
    Between,
    /// It may be an endpoint.
    Below,
}

impl Zone {
    /// The zone of a suffix, served at `own_address` where that is one.
    pub(super) fn new(suffix: &str, own_address: Option<Ipv4Addr>) -> Option<Self> {
        let mut apex = Name::from_ascii(suffix).ok().filter(|name| name.num_labels() > 0)?;
        apex.set_fqdn(true);
        let server = Name::from_ascii("ns").ok()?.append_domain(&apex).ok()?;
        let keeper = Name::from_ascii("hostmaster").ok()?.append_domain(&apex).ok()?;
        // The serial stays: there are no secondaries to tell about changes.
        let soa = SOA::new(server.clone(), keeper, 1, 3600, 600, 86400, TTL);
        Some(Self {
            soa: Record::from_rdata(apex.clone(), TTL, RData::SOA(soa)),
            ns: Record::from_rdata(apex.clone(), ZONE_TTL, RData::NS(NS(server.clone()))),
            apex: apex.into(),
            server: server.into(),
            own_address,
        })
    }

    pub(super) fn soa(&self) -> &Record {
        &self.soa
    }

    pub(super) fn ns(&self) -> &Record {
        &self.ns
    }

    /// The address of this server, under its own name.
    pub(super) fn own_address(&self) -> Option<Ipv4Addr> {
        self.own_address
    }

    /// What `name` is to the zone.
    pub(super) fn place(&self, name: &LowerName) -> Place {
        if !self.apex.zone_of(name) {
            Place::Outside
        } else if *name == self.apex {
            Place::Apex
        } else if *name == self.server {
            Place::Server
        } else if self.is_between(name) {
            Place::Between
        } else {
            Place::Below
        }
    }

    /// Whether endpoints may exist below `name`: `product`, `region`, `product.region`.
    fn is_between(&self, name: &LowerName) -> bool {
        let extra = usize::from(name.num_labels()) - usize::from(self.apex.num_labels());
        let name = Name::from(name.clone());
        let labels: Vec<_> = name.iter().take(extra).map(String::from_utf8_lossy).collect();
        let product = |label: &str| PRODUCTS.contains(&label);
        match labels.as_slice() {
            [one] => product(one) || is_region(one),
            [one, two] => product(one) && is_region(two),
            _ => false,
        }
    }
}

/// The record of an endpoint.
pub(super) fn address_record(name: Name, address: Ipv4Addr) -> Record {
    Record::from_rdata(name, TTL, RData::A(A(address)))
}

fn is_region(label: &str) -> bool {
    RegionId::parse(label).is_ok_and(|id| Catalogue::builtin().region(&id).is_some())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("rds.aliyuncs.com.", Place::Apex)]
    #[case("RDS.aliyuncs.COM.", Place::Apex)]
    #[case("ns.rds.aliyuncs.com.", Place::Server)]
    #[case("redis.rds.aliyuncs.com.", Place::Between)]
    #[case("us-west-1.rds.aliyuncs.com.", Place::Between)]
    #[case("memcache.us-west-1.rds.aliyuncs.com.", Place::Between)]
    #[case("nowhere.rds.aliyuncs.com.", Place::Below)]
    #[case("r-1.redis.rds.aliyuncs.com.", Place::Below)]
    #[case("aliyuncs.com.", Place::Outside)]
    #[case("xrds.aliyuncs.com.", Place::Outside)]
    #[case(".", Place::Outside)]
    fn knows_its_names(#[case] name: &str, #[case] place: Place) {
        let zone = Zone::new("rds.aliyuncs.com", None).unwrap();
        assert_eq!(zone.place(&Name::from_ascii(name).unwrap().into()), place);
    }

    #[test]
    fn refuses_suffixes_that_are_no_names() {
        for suffix in ["", ".", "a..b", &"x".repeat(64)] {
            assert!(Zone::new(suffix, None).is_none(), "{suffix}");
        }
    }
}
