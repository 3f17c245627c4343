//! Addresses outside 127.0.0.0/8, which this machine answers on while `lo` has them.
//!
//! Guarantees: an address is added only where that was asked for, and never one that another
//! interface has or that a route leads through; only what carries our label is removed, so an
//! address that an operator put on `lo` stays. What others on the network have is not known here.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use ourkv_domain::network::HostAddresses;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use rustix::thread::{CapabilitySet, capabilities};

use super::{address, blocking, machine};
use crate::substrate::Trouble;

const LOOPBACK: &str = "lo";
/// Marks an address as added by us. It lasts as long as the address: not over a reboot.
const LABEL: &str = "lo:ourkv";

/// Whether this process may add addresses to the machine.
pub fn may_add_addresses() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// Returns when the machine has the address: whoever connects from here then stays here.
pub(super) async fn hold(ip: Ipv4Addr, serves: HostAddresses) -> Result<(), Trouble> {
    if ip.is_loopback() {
        return Ok(());
    }
    let host = Host::open().map_err(machine("asking for the machine's addresses"))?;
    let carriers =
        host.carriers(ip).await.map_err(machine("asking for the machine's addresses"))?;
    if let Some(carrier) = carriers.iter().find(|carrier| carrier.interface != LOOPBACK) {
        let interface = carrier.interface.clone();
        return Err(Trouble::AddressOfInterface { address: ip, interface });
    }
    if !carriers.is_empty() {
        return Ok(());
    }
    if !serves.serve(ip) {
        return Err(Trouble::AddressNotAdded { address: ip });
    }
    if host.is_gateway(ip).await.map_err(machine("asking for the machine's routes"))? {
        return Err(Trouble::AddressOfGateway { address: ip });
    }
    host.add(ip).await.map_err(machine("adding the instance's address to lo"))?;
    tracing::info!(%ip, "added to lo");
    Ok(())
}

/// Takes the address from the machine again if it was added by us. It stays while anyone listens
/// on it: another control plane of this machine may have an instance there.
pub(super) async fn release(ip: Ipv4Addr) -> Result<(), Trouble> {
    const RELEASING: &str = "removing the instance's address from lo";
    if ip.is_loopback() {
        return Ok(());
    }
    let host = Host::open().map_err(machine(RELEASING))?;
    let carriers = host.carriers(ip).await.map_err(machine(RELEASING))?;
    let Some(ours) = carriers.into_iter().find(Carrier::is_ours) else {
        return Ok(());
    };
    let used = blocking(move || address::is_listened_on(ip).map_err(machine(RELEASING))).await?;
    if !used {
        host.remove(ours.message).await.map_err(machine(RELEASING))?;
        tracing::info!(%ip, "removed from lo");
    }
    Ok(())
}

/// The kernel's own tables of this machine, or of the network namespace that this process is in.
struct Host(Handle);

/// An interface that has an address.
struct Carrier {
    interface: String,
    message: AddressMessage,
}

impl Carrier {
    fn is_ours(&self) -> bool {
        let label = AddressAttribute::Label(LABEL.into());
        self.interface == LOOPBACK && self.message.attributes.contains(&label)
    }
}

impl Host {
    fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        // It ends with the handle.
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The interfaces that have the address, or have it as the other end of a tunnel.
    async fn carriers(&self, ip: Ipv4Addr) -> io::Result<Vec<Carrier>> {
        let found = self.0.address().get().set_address_filter(IpAddr::V4(ip)).execute();
        let mut carriers = Vec::new();
        for message in found.try_collect::<Vec<_>>().await.map_err(refused)? {
            let interface = self.name(message.header.index).await?;
            carriers.push(Carrier { interface, message });
        }
        Ok(carriers)
    }

    async fn name(&self, index: u32) -> io::Result<String> {
        let mut links = Box::pin(self.0.link().get().match_index(index).execute());
        let link = links.try_next().await.map_err(refused)?;
        let name = link.into_iter().flat_map(|link| link.attributes).find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
        });
        Ok(name.unwrap_or_else(|| index.to_string()))
    }

    async fn is_gateway(&self, ip: Ipv4Addr) -> io::Result<bool> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = Box::pin(self.0.route().get(all).execute());
        while let Some(route) = routes.try_next().await.map_err(refused)? {
            if leads_through(&route, ip) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn add(&self, ip: Ipv4Addr) -> io::Result<()> {
        let mut links = Box::pin(self.0.link().get().match_name(LOOPBACK.to_owned()).execute());
        let link = links.try_next().await.map_err(refused)?;
        let index = link.ok_or_else(|| io::Error::other("there is no lo"))?.header.index;
        let mut request = self.0.address().add(index, IpAddr::V4(ip), 32);
        request.message_mut().attributes.push(AddressAttribute::Label(LABEL.into()));
        match request.execute().await.map_err(refused) {
            // Another control plane was quicker: the same address on the same interface.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    async fn remove(&self, address: AddressMessage) -> io::Result<()> {
        match self.0.address().del(address).execute().await.map_err(refused) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Ok(()),
            done => done,
        }
    }
}

/// Whether a route's gateway, or one of its gateways, has this address.
fn leads_through(route: &RouteMessage, ip: Ipv4Addr) -> bool {
    route.attributes.iter().any(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => {
            hops.iter().flat_map(|hop| &hop.attributes).any(|attribute| is_gateway(attribute, ip))
        }
        attribute => is_gateway(attribute, ip),
    })
}

fn is_gateway(attribute: &RouteAttribute, ip: Ipv4Addr) -> bool {
    matches!(attribute, RouteAttribute::Gateway(RouteAddress::Inet(gateway)) if *gateway == ip)
}

/// What the kernel refused, as it says it to everyone else.
fn refused(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
