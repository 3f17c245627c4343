//! Every command and subcommand that an engine knows.

use std::net::SocketAddrV4;

use ourkv_control::engine::Binary;

use super::wire::{Answer, Wire};

/// Subcommands before 7.0, where an engine does not list them: what it says itself in its HELP,
/// and what 7.0 lists.
const SUBCOMMANDS: [(&str, &str); 17] = [
    ("acl", "cat deluser dryrun genpass getuser help list load log save setuser users whoami"),
    (
        "client",
        "caching getname getredir help id info kill list no-evict pause reply setname tracking \
         trackinginfo unblock unpause",
    ),
    (
        "cluster",
        "addslots bumpepoch count-failure-reports countkeysinslot delslots failover flushslots \
         forget getkeysinslot help info keyslot meet myid nodes replicas replicate reset \
         saveconfig set-config-epoch setslot slaves slots",
    ),
    ("command", "count docs getkeys getkeysandflags help info list"),
    ("config", "get help resetstat rewrite set"),
    (
        "debug",
        "aof-flush-sleep assert change-repl-id config-rewrite-force-all crash-and-recover digest \
         digest-value error help htstats htstats-key jmap leak loadaof log \
         lua-always-replicate-commands mallctl mallctl-str object oom panic pause-cron populate \
         protocol reload restart sdslen segfault set-active-expire set-skip-checksum-validation \
         sleep stringmatch-test structsize ziplist",
    ),
    ("latency", "doctor graph help histogram history latest reset"),
    ("memory", "doctor help malloc-stats purge stats usage"),
    ("module", "help list load loadex unload"),
    ("object", "encoding freq help idletime refcount"),
    ("pubsub", "channels help numpat numsub shardchannels shardnumsub"),
    ("script", "debug exists flush help kill load"),
    ("sentinel", "masters failover set"),
    ("slowlog", "get help len reset"),
    ("stralgo", "lcs help"),
    ("xgroup", "create createconsumer delconsumer destroy help setid"),
    ("xinfo", "consumers groups help stream"),
];

/// A word that is no subcommand of anything.
const NONSENSE: &str = "nonsense";

/// An argument that suits hardly any command, so that one that is let through does nothing. It names
/// a stream with a group: before they know a subcommand, those of streams ask for their key.
const ARGUMENT: &str = "x";

/// One command, or one subcommand of one.
#[derive(Debug)]
pub(super) struct Entry {
    /// One word, or two.
    pub(super) names: Vec<String>,
    /// As many arguments as it takes at least.
    arguments: usize,
    /// Whether this engine has it.
    pub(super) known: bool,
}

impl Entry {
    /// What to send.
    pub(super) fn words(&self) -> Vec<&str> {
        let arguments = std::iter::repeat_n(ARGUMENT, self.arguments);
        self.names.iter().map(String::as_str).chain(arguments).collect()
    }

    /// As the engine names it: `client|list`.
    pub(super) fn name(&self) -> String {
        self.names.join("|")
    }
}

/// All of them, in order. The tenant asks: it may.
pub(super) fn census(binary: &Binary, address: SocketAddrV4) -> Vec<Entry> {
    let mut wire = Wire::tenant(address);
    for command in ["XADD x 1-1 f v", "XGROUP CREATE x x 0"] {
        // Older engines have no streams.
        wire.ask(&command.split(' ').collect::<Vec<_>>());
    }
    let commands = wire.ask(&["COMMAND"]).items();
    assert!(commands.len() > 150, "{binary} has {} commands", commands.len());
    let mut entries: Vec<Entry> =
        commands.into_iter().flat_map(|command| told(binary, address, command)).collect();
    entries.sort_by_key(Entry::name);
    entries
}

/// What one element of COMMAND tells: the command, and its subcommands or those that are tried.
fn told(binary: &Binary, address: SocketAddrV4, command: Answer) -> Vec<Entry> {
    let mut fields = command.items().into_iter();
    let name = fields.next().unwrap().text();
    let arity = fields.next().unwrap().number();
    let arguments = usize::try_from(arity.abs()).unwrap().saturating_sub(1);
    // A subcommand counts as one of them.
    let beside = arguments.saturating_sub(1);
    let listed = fields.nth(7).map(Answer::items).unwrap_or_default();
    let mut entries: Vec<Entry> = listed.into_iter().map(subcommand).collect();
    if binary.level() < (7, 0) {
        let (_, words) =
            SUBCOMMANDS.iter().find(|(container, _)| *container == name).unwrap_or(&("", ""));
        entries.extend(words.split_whitespace().map(|word| tried(address, &name, word, beside)));
    }
    if entries.is_empty() {
        return vec![Entry { names: vec![name], arguments, known: true }];
    }
    // COMMAND itself also does something without a subcommand.
    if arguments == 0 {
        entries.push(Entry { names: vec![name.clone()], arguments, known: true });
    }
    entries.push(Entry { names: vec![name, NONSENSE.into()], arguments: beside, known: false });
    entries
}

/// A subcommand as 7.0 and later list it.
fn subcommand(listed: Answer) -> Entry {
    let mut fields = listed.items().into_iter();
    let name = fields.next().unwrap().text();
    let arity = fields.next().unwrap().number();
    let (container, word) = name.split_once('|').unwrap();
    Entry {
        names: vec![container.to_owned(), word.to_owned()],
        arguments: usize::try_from(arity.abs()).unwrap() - 2,
        known: true,
    }
}

/// A subcommand that an engine has if it answers it otherwise than nonsense, with any number of
/// arguments from the least on.
fn tried(address: SocketAddrV4, container: &str, word: &str, least: usize) -> Entry {
    let known = (least..=5).find(|arguments| {
        let answer = |word: &str| {
            let mut words = vec![container, word];
            words.extend(std::iter::repeat_n(ARGUMENT, *arguments));
            let mut wire = Wire::tenant(address);
            wire.say(&words);
            wire.line().unwrap_or_default().to_lowercase().replace(word, "")
        };
        let said = answer(word);
        !said.contains("wrong number of arguments") && said != answer(NONSENSE)
    });
    Entry {
        names: vec![container.to_owned(), word.to_owned()],
        arguments: known.unwrap_or(least),
        known: known.is_some(),
    }
}
