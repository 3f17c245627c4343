//! Every command that an engine knows, by every way, against the list of what is allowed.

use std::fmt::Write as _;

use ourkv_control::engine::{Binary, Engines};
use ourkv_domain::instance::NodeType;

use super::super::ground::{Ground, bring_up, each_redis, take_down};
use super::census::{Entry, census};
use super::verdict::{Ways, name_of, strangers_may, ways};
use super::witness::Witness;

/// All that someone may say who has not logged in: to log in, or to leave.
const OPEN_TO_STRANGERS: [&str; 4] = ["auth", "hello", "quit", "reset"];

/// What a browser begins with: an engine hangs up on it, and from a script does nothing.
const BROWSERS: [&str; 2] = ["host:", "post"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_may_run_what_is_listed_and_nothing_else() {
    let mut ground = Ground::new(141);
    for (binary, version) in each_redis().await {
        let local = ground.local(Engines::of(vec![binary.clone()]));
        let unit = ground.redis(NodeType::MasterSlave, version);
        bring_up(&local, &unit).await;
        let witness = Witness::of(&ground, &binary, &unit).await;
        let entries = census(&binary, unit.address);
        let mut list = String::new();
        for entry in &entries {
            let ways = ways(&binary, unit.address, &entry.words());
            assert_consistent(&binary, entry, ways);
            if entry.known && ways.directly {
                writeln!(list, "{}", line(entry, ways)).unwrap();
            }
        }
        insta::assert_snapshot!(name_of(&binary), list);
        for entry in &entries {
            let open = OPEN_TO_STRANGERS.contains(&entry.name().as_str());
            assert!(open || !strangers_may(unit.address, &entry.words()), "{binary}: {entry:?}");
        }
        witness.finds_nothing_changed(&ground, &local, &unit).await;
        take_down(&local, &unit).await;
    }
}

/// What is refused directly is refused by every other way, and so is what there is not.
fn assert_consistent(binary: &Binary, entry: &Entry, ways: Ways) {
    if BROWSERS.contains(&entry.name().as_str()) {
        return;
    }
    let indirectly = ways.in_a_transaction || ways.from_a_script;
    assert!(ways.directly || !indirectly, "{binary}: {entry:?}: {ways:?}");
}

fn line(entry: &Entry, ways: Ways) -> String {
    let mut line = entry.name();
    if !ways.in_a_transaction {
        line.push_str(", not in a transaction");
    }
    if !ways.from_a_script {
        line.push_str(", not from a script");
    }
    line
}
