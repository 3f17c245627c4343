//! (h) From CreateInstance with a backup to the first PONG, with all data behind it; the floor is
//! a bare redis-server on the file that the backup's link gives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::save::Listed;
use super::{Cast, PAIR, STANDALONE};
use crate::bare::Bare;
use crate::client::Client;
use crate::ground::{Ground, until};
use crate::pong;
use crate::sample::Sample;
use crate::server::create_clone;
use crate::table::{Row, Table, Target};

/// Between two tries to log in: nothing beside the seconds that it takes, and an engine that loads
/// looks at its clients now and then only.
const PAUSE: Duration = Duration::from_millis(5);

/// Who loads the data.
#[derive(Clone, Copy)]
enum Who {
    Bare,
    Alone,
    Pair,
}

/// Each order once: how soon much memory is to be had depends on who gave it back last.
const ORDERS: [[Who; 3]; 6] = {
    use Who::{Alone, Bare, Pair};
    [
        [Bare, Alone, Pair],
        [Alone, Bare, Pair],
        [Pair, Alone, Bare],
        [Bare, Pair, Alone],
        [Alone, Pair, Bare],
        [Pair, Bare, Alone],
    ]
};

/// How long a clone took.
struct Took {
    /// To the first PONG.
    pong: Duration,
    /// Until it was Normal.
    normal: Duration,
}

/// Takes the figures.
pub(super) fn measure(
    ground: &Ground,
    cast: &Cast<'_>,
    backup: &Listed,
    table: &mut Table,
) -> anyhow::Result<()> {
    let file = download(ground, backup)?;
    cast.pair.delete(&mut cast.client()?)?;
    wait_for_rest(cast, 1)?;
    let (mut bare, mut alone, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    for order in ORDERS {
        for who in order {
            match who {
                Who::Bare => bare.push(load(ground, cast, &file)?),
                Who::Alone => alone.push(clone(cast, backup, STANDALONE)?),
                Who::Pair => pair.push(clone(cast, backup, PAIR)?),
            }
        }
    }
    let floor = Sample::of_ms(&bare);
    table.add(Row::new("(h) bare redis-server loads the file", "ms", floor.clone()));
    for (kind, times) in [("standalone", &alone), ("pair", &pair)] {
        let row = |end: &str, of: fn(&Took) -> &Duration| {
            let sample = Sample::of_ms(times.iter().map(of));
            Row::new(format!("(h) clone to {end}, {kind}"), "ms", sample).over(&floor)
        };
        table.add(row("PONG", |took| &took.pong).target(Target::RatioAtMost(1.2)));
        table.add(row("Normal", |took| &took.normal));
    }
    Ok(())
}

/// The plain file, as whoever has the link gets it.
fn download(ground: &Ground, backup: &Listed) -> anyhow::Result<PathBuf> {
    let file = ground.dir().join("downloaded.rdb");
    let mut body = ureq::get(&backup.url).call()?.into_body();
    std::io::copy(&mut body.as_reader(), &mut File::create(&file)?)?;
    Ok(file)
}

fn load(ground: &Ground, cast: &Cast<'_>, file: &Path) -> anyhow::Result<Duration> {
    let dir = ground.dir().join("loaded");
    std::fs::create_dir(&dir)?;
    std::fs::hard_link(file, dir.join("dump.rdb"))?;
    let began = Instant::now();
    let bare = Bare::start(ground.floor.address(1), &dir, PAUSE)?;
    let took = began.elapsed();
    cast.data.check(&mut pong::connect(bare.address(), None)?)?;
    bare.stop()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(took)
}

/// Returns once everything of the clone is gone again.
fn clone(cast: &Cast<'_>, backup: &Listed, class: &str) -> anyhow::Result<Took> {
    let mut client: Client = cast.client()?;
    let began = Instant::now();
    let created = create_clone(&mut client, class, &cast.alone.id, &backup.id)?;
    pong::wait(created.address, Some(&created.login), PAUSE)?;
    let pong = began.elapsed();
    cast.data.check(&mut pong::connect(created.address, Some(&created.login))?)?;
    created.wait_until_normal(&mut client)?;
    let normal = began.elapsed();
    created.delete(&mut client)?;
    wait_for_rest(cast, 1)?;
    Ok(Took { pong, normal })
}

/// Until nothing is left but so many instances.
fn wait_for_rest(cast: &Cast<'_>, instances: usize) -> anyhow::Result<()> {
    until("an instance is gone", Duration::from_millis(10), || {
        Ok((cast.server.left()? == instances).then_some(()))
    })
}
