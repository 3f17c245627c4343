//! The journal of an instance: what was seen of it and done about it, for its owner to read. Lines
//! wait in memory while the store is away.

use jiff::Timestamp;
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::instance::Instance;
use ourkv_store::StoreError;

use super::World;
use super::load::Loaded;
use super::report::Failure;
use super::step::Step;

/// Writes a line into the journal; later, where the store is away.
pub(super) async fn journal(
    world: &World,
    loaded: &mut Loaded,
    kind: EventKind,
    detail: String,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    tracing::warn!(instance.id = %loaded.instance.id, %kind, detail, "journal");
    let event = event(&loaded.instance, world.clock.now(), kind, detail);
    if loaded.away {
        world.memory.write_later(event, None);
        return Ok(());
    }
    let line = event.clone();
    let write = async {
        let write = world.store.write(move |tx| tx.append_event(&line));
        write.await.map_err(Failure::from)
    };
    match loaded.unless_away(Step::Journal.run(write).await)? {
        Some(()) => steps.push(Step::Journal),
        None => world.memory.write_later(event, None),
    }
    Ok(())
}

/// Writes the lines that could not be written before.
pub(super) async fn catch_up_journal(world: &World, loaded: &Loaded) -> Result<(), Failure> {
    let id = &loaded.instance.id;
    let lines = world.memory.take_unwritten(id, loaded.instance.role.lead.epoch);
    if lines.is_empty() {
        return Ok(());
    }
    let kept = lines.clone();
    let written: Result<(), StoreError> =
        world.store.write(move |tx| lines.iter().try_for_each(|line| tx.append_event(line))).await;
    if written.is_err() {
        world.memory.write_all_later(kept, None);
    }
    Ok(written?)
}

pub(super) fn event(instance: &Instance, at: Timestamp, kind: EventKind, detail: String) -> Event {
    Event { instance: instance.id.clone(), at, kind, detail }
}
