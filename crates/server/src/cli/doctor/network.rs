//! Addresses: does the server answer, can the block and the DNS port be used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use ourkv_control::substrate::local;
use ourkv_domain::ids::NodeId;
use ourkv_domain::network::block::LoopbackBlock;
use ourkv_domain::network::{HostAddresses, usable};
use ourkv_store::{Filter, Tx};

use super::Finding;
use crate::cli::http::{self, Endpoint};
use crate::cli::{Context, env};
use crate::config::{DnsListen, Whitelist};
use crate::opening::{DataDir, OpenError, Opened, ServeLock};
use crate::whitelist;

pub(super) async fn check(context: &Context) -> Vec<Finding> {
    let served = is_served(context);
    let mut findings = vec![
        api(context, served).await,
        dns(context, served),
        host_addresses(context.config.network.host_addresses, local::may_add_addresses()),
    ];
    let opened = Opened::existing(&context.config).await;
    findings.push(whitelist(context.config.network.whitelist, opened.as_ref().ok(), served).await);
    if let Ok(opened) = opened {
        findings.push(block(opened.block));
        findings.push(strangers(&opened).await);
    }
    findings
}

/// Whether a server works on the data directory.
fn is_served(context: &Context) -> bool {
    let dir = DataDir::open(&context.config.data_dir);
    let taken = dir.ok().filter(DataDir::is_furnished).map(|dir| ServeLock::take(&dir));
    matches!(taken, Some(Err(OpenError::Served { .. })))
}

async fn api(context: &Context, served: bool) -> Finding {
    const CHECK: &str = "API";
    let url = env::endpoint(&context.config);
    if !served {
        return match TcpListener::bind(context.config.listen) {
            Ok(_) => Finding::ok(CHECK, format!("not running; {} is free", context.config.listen)),
            Err(error) => Finding::problem(
                CHECK,
                format!("not running, and {} can't be listened on: {error}", context.config.listen),
                "give `ourkv serve` another address with --listen",
            ),
        };
    }
    let answer = match Endpoint::parse(&url) {
        Ok(endpoint) => http::get(&endpoint, "/healthz").await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if answer.status.is_success() => Finding::ok(CHECK, format!("answers at {url}")),
        Ok(answer) => {
            let found = format!("{url}/healthz answers {}", answer.status);
            Finding::problem(CHECK, found, "look at the log of `ourkv serve`")
        }
        Err(error) => {
            let found = format!("runs and does not answer: {error:#}");
            Finding::problem(CHECK, found, "look at the log of `ourkv serve`")
        }
    }
}

fn dns(context: &Context, served: bool) -> Finding {
    const CHECK: &str = "DNS";
    let address = match context.config.dns.listen {
        DnsListen::Off => return Finding::ok(CHECK, "off"),
        DnsListen::At(address) | DnsListen::IfFree(address) => address,
    };
    match std::net::UdpSocket::bind(address) {
        Ok(_) if served => Finding::warning(
            CHECK,
            format!("nobody answers at {address}"),
            "the server may have another --dns; if not, look at its log",
        ),
        Ok(_) => Finding::ok(CHECK, format!("{address} is free")),
        Err(_) if served => Finding::ok(CHECK, format!("{address} is in use, by the server")),
        Err(error) => Finding::warning(
            CHECK,
            format!("{address} can't be listened on: {error}"),
            "give `ourkv serve` another address with --dns, or `--dns off`",
        ),
    }
}

/// Whether addresses outside 127.0.0.0/8 serve themselves.
fn host_addresses(serves: HostAddresses, possible: bool) -> Finding {
    const CHECK: &str = "host addresses";
    match (serves, possible) {
        (HostAddresses::Any, true) => Finding::ok(CHECK, "on, and can be added to this machine"),
        (HostAddresses::Any, false) => Finding::problem(
            CHECK,
            "on, and this user may not add addresses to this machine",
            "`ourkv serve` needs CAP_NET_ADMIN (`setcap cap_net_admin=ep FILE`, or \
             AmbientCapabilities= of a systemd unit), or network.host_addresses off",
        ),
        (HostAddresses::LoopbackOnly, true) => Finding::ok(CHECK, "off; possible"),
        (HostAddresses::LoopbackOnly, false) => {
            Finding::ok(CHECK, "off; would take CAP_NET_ADMIN, which this user has not")
        }
    }
}

/// Whether whitelists are put in force.
async fn whitelist(mode: Whitelist, opened: Option<&Opened>, served: bool) -> Finding {
    const CHECK: &str = "whitelist";
    if mode == Whitelist::Off {
        let advice = "network.whitelist `auto` or `enforce` puts whitelists in force";
        return Finding::warning(CHECK, "not enforced: network.whitelist is off", advice);
    }
    let nobody = NodeId::parse("node-none").expect("a word is an id");
    let node = opened.map_or(&nobody, |opened| &opened.node);
    let block = opened.map_or_else(|| LoopbackBlock::of(node), |opened| opened.block);
    match whitelist::find(node, block).await {
        Ok(nft) if served && !nft.has_any(node).await.unwrap_or(false) => Finding::warning(
            CHECK,
            "not enforced: nftables could, and has no rules of the server that runs",
            "the server may have another --whitelist or fewer rights; look at its log",
        ),
        Ok(_) => Finding::ok(CHECK, "enforced by nftables"),
        Err(reason) => {
            let found = format!("not enforced here: {reason}");
            match mode {
                Whitelist::Enforce => Finding::problem(CHECK, found, reason.advice()),
                Whitelist::Auto | Whitelist::Off => Finding::warning(CHECK, found, reason.advice()),
            }
        }
    }
}

/// Whether this machine answers on any loopback address without setup, as Linux does.
fn block(block: LoopbackBlock) -> Finding {
    const CHECK: &str = "address block";
    let ends = [block.classic(), block.default_vpc(), block.serving()].map(usable);
    let refused = ends
        .into_iter()
        .flatten()
        .find_map(|(_, last)| TcpListener::bind((last, 0)).err().map(|error| (last, error)));
    match refused {
        None => Finding::ok(CHECK, format!("{block} can be used")),
        Some((ip, error)) => Finding::problem(
            CHECK,
            format!("{ip} of {block} can't be listened on: {error}"),
            "this needs Linux, where all of 127.0.0.0/8 belongs to the machine",
        ),
    }
}

/// Listeners in our block on addresses that no instance has: they are in the way of later ones.
async fn strangers(opened: &Opened) -> Finding {
    const CHECK: &str = "addresses";
    let read = |tx: &mut Tx<'_>| anyhow::Ok(tx.instances(&Filter::default(), None)?);
    let ours: Vec<Ipv4Addr> = match opened.store.read(read).await {
        Ok(instances) => instances.iter().map(|instance| instance.endpoint.serving_ip).collect(),
        Err(error) => return Finding::problem(CHECK, format!("{error:#}"), "see `store`"),
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let block = opened.block;
    let parts = [block.classic(), block.default_vpc(), block.serving()];
    let strange = listeners(&table).into_iter().filter(|address| match address.ip() {
        IpAddr::V4(ip) => parts.iter().any(|part| part.contains(&ip)) && !ours.contains(&ip),
        IpAddr::V6(_) => false,
    });
    let strange: Vec<_> = strange.map(|address| address.to_string()).collect();
    if strange.is_empty() {
        Finding::ok(CHECK, "nobody else listens in the block")
    } else {
        Finding::warning(
            CHECK,
            format!("others listen on {}", strange.join(", ")),
            "an instance that gets such an address waits for it; `ss -ltnp` names the process, \
             --address-block takes another block",
        )
    }
}

/// The addresses that are listened on, out of the kernel's table of TCP sockets: the second field
/// is the address in host byte order and hexadecimal, the fourth the state, 0A for listening.
fn listeners(table: &str) -> Vec<SocketAddr> {
    let listener = |line: &str| {
        let mut fields = line.split_whitespace();
        let (ip, port) = fields.nth(1)?.split_once(':')?;
        (fields.nth(1)? == "0A").then_some(())?;
        let ip = u32::from_str_radix(ip, 16).ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(SocketAddr::from((Ipv4Addr::from(ip.to_ne_bytes()), port)))
    };
    table.lines().skip(1).filter_map(listener).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listeners_in_the_table_of_the_kernel() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(listeners(&table).contains(&address), "{address}\n{table}");
        drop(listener);
        // A process that another test is just making has it open for an instant.
        let is_gone = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            !listeners(&table).contains(&address)
        });
        assert!(is_gone, "{address}");
    }
}
