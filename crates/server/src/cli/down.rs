//! `ourkv down`: stops every engine that a data directory owns.

use std::slice::from_ref;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt;
use ourkv_control::engine::Engines;
use ourkv_control::substrate::local::Local;
use ourkv_control::substrate::{Stop, Substrate, Unit};
use ourkv_domain::clock::Clock;
use ourkv_domain::ids::{InstanceId, NodeId};
use ourkv_domain::instance::{Instance, Observed, Phase};
use ourkv_domain::network::HostAddresses;
use ourkv_store::Tx;

use super::{Context, output};
use crate::opening::{DataDir, Opened, ServeLock};
use crate::whitelist;

/// Engines that are stopped at a time: most of that is waiting for disks.
const AT_ONCE: usize = 16;

/// Stop every engine of the data directory; the next `ourkv serve` starts them again
///
/// Data, instances and keys stay. A server that runs on the directory must be stopped first: it
/// would bring its engines back.
#[derive(Debug, Args)]
pub(super) struct Down {}

impl Down {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let dir = DataDir::open(&context.config.data_dir)?;
        if !dir.is_furnished() {
            output::say(&format!("nothing was ever started in {}", dir.path().display()));
            return Ok(());
        }
        let _lock = ServeLock::take(&dir)?;
        let opened = context.open().await?;
        let engines = Engines::discover(from_ref(&context.config.engines.dir)).await;
        let substrate = Local::new(dir.path(), engines, HostAddresses::LoopbackOnly)?;
        let mut kept = substrate.inventory().await?;
        let units = units(&opened).await?;
        kept.retain(|id| units.iter().all(|unit| unit.id != *id));

        let stops = units.iter().map(async |unit| (unit.id.clone(), stop(&substrate, unit).await));
        let mut stops = futures::stream::iter(stops).buffer_unordered(AT_ONCE);
        let (mut stopped, mut failed, mut down) = (0, 0, Vec::new());
        while let Some((id, outcome)) = stops.next().await {
            match outcome {
                Ok(engines) => {
                    stopped += engines;
                    down.push(id);
                }
                Err(error) => {
                    failed += 1;
                    output::say(&format!("{error:#}"));
                }
            }
        }
        write_down(&opened, down).await?;
        say_unknown(&kept);
        output::say(&format!("stopped {stopped} engines"));
        if failed > 0 {
            bail!("{failed} instances could not be stopped");
        }
        whitelist::lift(&opened).await.context("the rules of whitelists stay")?;
        Ok(())
    }
}

/// What is there for each instance of this node.
async fn units(opened: &Opened) -> anyhow::Result<Vec<Unit>> {
    let node = opened.node.clone();
    opened.store.read(move |tx| read_units(tx, &node)).await
}

fn read_units(tx: &mut Tx<'_>, node: &NodeId) -> anyhow::Result<Vec<Unit>> {
    let mut units = Vec::new();
    for id in tx.instance_ids_of_node(node)? {
        let instance: Option<Instance> = tx.instance(&id)?;
        if let (Some(instance), Some(secrets)) = (instance, tx.secrets(&id)?) {
            units.push(Unit::new(&instance, secrets));
        }
    }
    Ok(units)
}

/// Stops the engines of an instance, the replica first, and returns how many there were. One that
/// ended by itself is stopped too: something of it may be left.
async fn stop(substrate: &Local, unit: &Unit) -> anyhow::Result<usize> {
    let seen = substrate.observe(unit).await.with_context(|| unit.id.to_string())?;
    let members = if seen.prepared { unit.members() } else { &[] };
    for &member in members.iter().rev() {
        let stopped = substrate.stop(unit, member, Stop::Keep).await;
        stopped.with_context(|| format!("{} {member}", unit.id))?;
    }
    Ok(seen.running.len())
}

/// Takes back the word of each instance that was last seen to answer: it does not any more, and
/// the next server must not say so before it looked.
async fn write_down(opened: &Opened, stopped: Vec<InstanceId>) -> anyhow::Result<()> {
    let now = opened.clock.now();
    let write = move |tx: &mut Tx<'_>| {
        for id in &stopped {
            let Some(instance) = tx.lock_instance(id)? else {
                continue;
            };
            if instance.observed.phase == Phase::Normal {
                let phase = instance.observed.phase.failing("stopped by `ourkv down`");
                let observed =
                    Observed { phase, generation: instance.observed.generation, since: now };
                tx.record_observed(id, &observed)?;
            }
        }
        anyhow::Ok(())
    };
    opened.store.write(write).await
}

/// What the store does not know is not stopped: nothing tells whose it is.
fn say_unknown(unknown: &[InstanceId]) {
    for id in unknown {
        output::say(&format!("{id} has a directory here and is in no database; left as it is"));
    }
}
