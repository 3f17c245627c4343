//! Manifests: could a lost store be made of them, and does the store know what they tell?

use ourkv_control::substrate::local::{self, InstancePlace};
use ourkv_domain::ids::InstanceId;
use ourkv_store::Tx;

use super::Finding;
use crate::cli::Context;
use crate::opening::{Opened, compare};

const CHECK: &str = "manifests";

pub(super) async fn check(context: &Context) -> Vec<Finding> {
    // Whether the store can be opened is another check.
    let Ok(opened) = Opened::existing(&context.config).await else { return Vec::new() };
    let Ok(places) = local::survey(opened.dir.path()) else { return Vec::new() };
    let node = opened.node.clone();
    let ids = opened.store.read(move |tx: &mut Tx<'_>| tx.instance_ids_of_node(&node)).await;
    let Ok(ids) = ids else { return Vec::new() };
    let mut findings = vec![agreement(&opened).await];
    findings.extend(unknown(&places, &ids));
    findings
}

async fn agreement(opened: &Opened) -> Finding {
    let (store, dir, node) = (opened.store.clone(), opened.dir.clone(), opened.node.clone());
    let comparing = tokio::task::spawn_blocking(move || compare(&store, &dir, &node));
    let discord = match comparing.await {
        Ok(Ok(discord)) => discord,
        Ok(Err(error)) => return Finding::problem(CHECK, error.to_string(), "see `store`"),
        Err(error) => return Finding::problem(CHECK, error.to_string(), "see `store`"),
    };
    let later = [discord.unknown, discord.older].concat();
    if !discord.altered.is_empty() {
        Finding::problem(
            CHECK,
            format!("the store says something else of {}", discord.altered.join(", ")),
            "the store is damaged: stop the server, then `ourkv doctor --rebuild`",
        )
    } else if !later.is_empty() {
        Finding::problem(
            CHECK,
            format!("the store knows less than the manifests of {}", later.join(", ")),
            "it is an earlier copy: stop the server, then `ourkv doctor --rebuild --anew` makes one \
             of the manifests; or remove the file instance.json of each to stay with it",
        )
    } else if !discord.unreadable.is_empty() {
        let found = format!("not to be believed: {}", discord.unreadable.join(", "));
        Finding::warning(CHECK, found, "`ourkv serve` writes them anew")
    } else {
        Finding::ok(CHECK, "a lost store can be made of them")
    }
}

/// Directories of instances that the store does not know, and who works in them.
fn unknown(places: &[InstancePlace], ids: &[InstanceId]) -> Option<Finding> {
    let is_known = |place: &&InstancePlace| {
        let id = place.name.rsplit_once('.').map(|(id, _)| id);
        ids.iter().any(|known| Some(known.as_str()) == id)
    };
    let strange: Vec<_> = places
        .iter()
        .filter(|place| !is_known(place))
        .map(|place| match place.pids.as_slice() {
            [] => place.name.clone(),
            pids => format!("{} (processes {pids:?})", place.name),
        })
        .collect();
    (!strange.is_empty()).then(|| {
        Finding::warning(
            "engines of nobody",
            strange.join(", "),
            "ourkv leaves them alone; `kill` ends the processes, then the directories can be removed",
        )
    })
}
