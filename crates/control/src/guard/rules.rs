//! The rules of one node, as text for `nft`. Pure: the same lists give the same text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use ourkv_domain::ids::NodeId;
use ourkv_domain::instance::{EngineVersion, InstanceType, NodeType};
use ourkv_domain::security::Whitelist;
use ourkv_store::Guarded;
use sha2::{Digest, Sha256};

/// Users of this machine whom no whitelist locks out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The user of this process, and of engines that have no users of their own: lets them in from
    /// the instance's own address.
    pub own: u32,
    /// Users who run engines and nothing else. Tenants have no command that connects to anything,
    /// so what these connect to is what ourkv told them: whichever address they come from.
    pub engines: Option<RangeInclusive<u32>>,
    /// Whether engines may choose the address that they follow from. Those that are confined and
    /// run as our own user may not, and come from 127.0.0.1.
    pub choose: bool,
}

/// Who may reach what on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    table: String,
    block: Ipv4Net,
    trusted: Trusted,
    /// Addresses of instances outside of the block.
    outside: Vec<Ipv4Addr>,
    /// Lists that differ from the default one.
    lists: BTreeMap<Ipv4Addr, List>,
}

/// Who may reach an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    nets: Vec<Ipv4Net>,
    /// Whether its replica comes from 127.0.0.1: engines of 2.8 follow from whichever address the
    /// machine gives them.
    follows_from_loopback: bool,
}

impl List {
    fn of(guarded: &Guarded, trusted: &Trusted) -> Self {
        let old = guarded.version == EngineVersion::V2_8 && trusted.engines.is_none();
        Self {
            nets: guarded.whitelist.nets(),
            follows_from_loopback: guarded.node_type == NodeType::MasterSlave
                && (old || !trusted.choose),
        }
    }
}

impl Rules {
    /// The rules for a node without instances.
    pub fn new(node: &NodeId, block: Ipv4Net, trusted: Trusted) -> Self {
        let (outside, lists) = (Vec::new(), BTreeMap::new());
        Self { table: table(node), block, trusted, outside, lists }
    }

    /// The same node with instances at these addresses outside of its block, and with these
    /// whitelists.
    #[must_use]
    pub fn with(self, outside: Vec<Ipv4Addr>, guarded: &BTreeMap<Ipv4Addr, Guarded>) -> Self {
        let default = Whitelist::default().nets();
        let lists =
            guarded.iter().map(|(address, guarded)| (*address, List::of(guarded, &self.trusted)));
        let lists = lists.filter(|(_, list)| list.nets != default).collect();
        Self { outside, lists, ..self }
    }

    /// Whether an address is in the block and has no list of its own.
    pub(super) fn is_plain(&self, address: Ipv4Addr) -> bool {
        self.block.contains(&address) && !self.lists.contains_key(&address)
    }

    /// The addresses whose lists differ from the default one.
    pub(super) fn lists(&self) -> usize {
        self.lists.len()
    }

    /// The name of the table.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The name of an empty chain by which these very rules are known again.
    pub(super) fn mark(&self) -> String {
        let digest = Sha256::digest(self.body());
        digest[..8].iter().fold("state_".to_owned(), |mark, byte| format!("{mark}{byte:02x}"))
    }

    /// One transaction that puts this table in the place of the one of its name, if there is one.
    pub(super) fn script(&self) -> String {
        let Self { table, .. } = self;
        let body = self.body();
        let mark = self.mark();
        format!(
            "add table inet {table}\ndelete table inet {table}\nadd table inet {table}\n\
             add chain inet {table} {mark}\n{body}"
        )
    }

    fn body(&self) -> String {
        let mut lines = Lines { table: &self.table, text: String::new() };
        let pool = std::iter::once(self.block.to_string());
        let pool = joined(pool.chain(self.outside.iter().map(ToString::to_string)));
        lines.add(&format!(
            "set # pool {{ type ipv4_addr; flags interval; elements = {{ {pool} }}; }}"
        ));
        lines.add("set # selves { type ipv4_addr . ipv4_addr; size 65535; flags dynamic; }");
        for (address, list) in &self.lists {
            lines.list(*address, list, &self.trusted);
        }
        let verdicts = self.lists.keys().map(|address| format!("{address} : goto list_{address}"));
        let verdicts = joined(verdicts);
        let elements =
            if verdicts.is_empty() { verdicts } else { format!("elements = {{ {verdicts} }};") };
        lines.add(&format!("map # lists {{ type ipv4_addr : verdict; {elements} }}"));
        lines.clients();
        lines.locals(&self.trusted);
        lines.hooks();
        lines.text
    }
}

/// The table of a node. An id may have characters that nft gives a meaning to.
pub(super) fn table(node: &NodeId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("ourkv_{}", node.as_str().chars().map(plain).collect::<String>())
}

/// Commands that add to a table.
struct Lines<'a> {
    table: &'a str,
    text: String,
}

impl Lines<'_> {
    /// One command; `#` stands for the table.
    fn add(&mut self, what: &str) {
        let what = what.replacen('#', &format!("inet {}", self.table), 1);
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "add {what}");
    }

    fn rule(&mut self, chain: &str, rule: &str) {
        self.add(&format!("rule # {chain} {rule}"));
    }

    /// A list that is not the default one.
    fn list(&mut self, address: Ipv4Addr, list: &List, trusted: &Trusted) {
        let chain = format!("list_{address}");
        self.add(&format!("chain # {chain}"));
        if list.nets.iter().any(|net| net.prefix_len() == 0) {
            self.rule(&chain, "accept");
            return;
        }
        let nets = joined(list.nets.iter().map(ToString::to_string));
        self.rule(&chain, &format!("ip saddr {{ {nets} }} accept"));
        if list.follows_from_loopback {
            let replica = format!("meta skuid {} ip saddr 127.0.0.1 accept", trusted.own);
            self.rule(&chain, &replica);
        }
        self.rule(&chain, "reject with tcp reset");
    }

    /// What holds for everyone. A reset ends a session and does nothing else: engines get to know
    /// by it that a client who was cut off is gone.
    fn clients(&mut self) {
        self.add("chain # clients");
        self.rule("clients", "tcp flags & rst == rst accept");
        self.rule("clients", "ip daddr vmap @lists");
        self.rule("clients", "ip saddr 127.0.0.1 accept");
        self.rule("clients", "reject with tcp reset");
    }

    /// What holds for processes of this machine. Replicas, and logins on trial, come from the
    /// instance's own address; who else binds it is told by the user. A rule cannot compare two
    /// addresses of a packet, but it can note that an address is its own and look that up.
    fn locals(&mut self, trusted: &Trusted) {
        self.add("chain # locals");
        if let Some(users) = &trusted.engines {
            self.rule("locals", &format!("meta skuid {}-{} accept", users.start(), users.end()));
        }
        let own = format!("meta skuid {}", trusted.own);
        self.rule("locals", &format!("{own} add @selves {{ ip daddr . ip daddr }}"));
        self.rule("locals", &format!("{own} ip saddr . ip daddr @selves accept"));
        self.rule("locals", "goto clients");
    }

    /// Packets of this machine's own processes are looked at where their user is known: on their
    /// way out.
    fn hooks(&mut self) {
        let ports =
            joined([InstanceType::Redis, InstanceType::Memcache].map(|t| t.port().to_string()));
        let ours = format!("ip daddr @pool tcp dport {{ {ports} }}");
        for (hook, rule) in [
            ("output", format!("{ours} goto locals")),
            ("input", format!("iifname != \"lo\" {ours} goto clients")),
        ] {
            self.add(&format!(
                "chain # {hook} {{ type filter hook {hook} priority filter; policy accept; }}"
            ));
            self.rule(hook, &rule);
        }
    }
}

fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ourkv_domain::security::{Change, Mode};

    use super::*;

    fn rules() -> Rules {
        let node = NodeId::parse("node-a").unwrap();
        Rules::new(
            &node,
            "127.42.0.0/16".parse().unwrap(),
            Trusted { own: 0, engines: None, choose: true },
        )
    }

    fn guarded(list: &str) -> Guarded {
        let mut whitelist = Whitelist::default();
        let list = list.parse().unwrap();
        let group = "default".parse().unwrap();
        whitelist.change(Change { group, attribute: None, mode: Mode::Cover, list }).unwrap();
        Guarded { node_type: NodeType::MasterSlave, version: EngineVersion::V5_0, whitelist }
    }

    #[test]
    fn the_rules_of_a_node() {
        let lists = [
            ([127, 42, 0, 5].into(), guarded("10.0.0.9/8,10.1.1.1,127.0.0.7")),
            ([127, 42, 0, 6].into(), guarded("10.0.0.1,0.0.0.0/0")),
            ([127, 42, 0, 7].into(), guarded("127.0.0.1/32")),
            (
                [127, 42, 0, 8].into(),
                Guarded { version: EngineVersion::V2_8, ..guarded("10.0.0.2") },
            ),
        ];
        let rules = rules().with(vec![[172, 16, 0, 10].into()], &lists.into());
        insta::assert_snapshot!(rules.script());
        assert_eq!(rules.lists(), 3);
        for (address, plain) in [
            ([127, 42, 0, 4], true),
            ([127, 42, 0, 5], false),
            ([127, 42, 0, 7], true),
            ([172, 16, 0, 10], false),
        ] {
            assert_eq!(rules.is_plain(address.into()), plain, "{address:?}");
        }
    }

    #[test]
    fn engines_with_users_of_their_own_need_no_exception() {
        let old = || Guarded { version: EngineVersion::V2_8, ..guarded("10.0.0.2") };
        let script = |trusted, guarded| {
            let lists = [([127, 42, 0, 8].into(), guarded)].into();
            Rules { trusted, ..rules() }.with(Vec::new(), &lists).script()
        };
        let exception = "meta skuid 7 ip saddr 127.0.0.1 accept";
        let trusted = |engines, choose| Trusted { own: 7, engines, choose };
        let users = script(trusted(Some(1000..=1999), true), old());
        assert!(users.contains("meta skuid 1000-1999 accept") && !users.contains(exception));
        assert!(script(trusted(None, true), old()).contains(exception));
        assert!(!script(trusted(None, true), guarded("10.0.0.2")).contains(exception));
        assert!(script(trusted(Some(1000..=1999), false), guarded("10.0.0.2")).contains(exception));
    }

    #[test]
    fn other_rules_have_another_mark() {
        let empty = rules().with(Vec::new(), &BTreeMap::new());
        let lists = [([127, 42, 0, 7].into(), guarded("127.0.0.1"))].into();
        assert_eq!(rules().with(Vec::new(), &lists).mark(), empty.mark());
        let lists = [([127, 42, 0, 7].into(), guarded("127.0.0.2"))].into();
        assert_ne!(rules().with(Vec::new(), &lists).mark(), empty.mark());
    }

    #[test]
    fn a_node_cannot_break_out_of_its_name() {
        let node = NodeId::parse("a.(b),c_d-1").unwrap();
        assert_eq!(table(&node), "ourkv_a__b__c_d-1");
    }
}
