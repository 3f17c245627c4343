//! Backups: (g) one through the API against a bare BGSAVE, (h) a clone of it against a bare
//! redis-server that loads the same file, and (i) what the clients of an instance notice of it.
//!
//! What is compared has the same data, is taken in turns, and finds its files in the page cache.

mod clone;
mod data;
mod latency;
mod save;

use crate::bare::Bare;
use crate::client::Client;
use crate::ground::{Ground, TIGHT};
use crate::pong;
use crate::server::{Created, Server, create};
use crate::table::Table;
use data::Data;

/// Rounds of (g) that count.
const ROUNDS: usize = 3;
/// One redis-server that has room for the data.
const STANDALONE: &str = "redis.basic.mid.default";
/// A master and its replica, of the same size.
const PAIR: &str = "redis.master.mid.default";

/// Who has the data: a bare server, and an instance of either kind.
struct Cast<'a> {
    server: Server<'a>,
    bare: Bare,
    alone: Created,
    pair: Created,
    data: Data,
}

/// Takes the figures.
pub(crate) fn measure(ground: &Ground, table: &mut Table) -> anyhow::Result<()> {
    let cast = Cast::assemble(ground)?;
    let backup = save::measure(&cast, table)?;
    latency::measure(&cast, table)?;
    clone::measure(ground, &cast, &backup, table)
}

impl<'a> Cast<'a> {
    /// Starts all of them and gives them the data.
    fn assemble(ground: &'a Ground) -> anyhow::Result<Self> {
        let data = Data::asked_for()?;
        let mut server = Server::new(ground.dir().join("backup"), &ground.ours)?;
        let mut client = server.start()?;
        let dir = ground.dir().join("saved");
        std::fs::create_dir(&dir)?;
        let bare = Bare::start(ground.floor.address(0), &dir, TIGHT)?;
        let mut furnished = |class| {
            let created = create(&mut client, class)?;
            created.wait_until_normal(&mut client)?;
            anyhow::Ok(created)
        };
        let (alone, pair) = (furnished(STANDALONE)?, furnished(PAIR)?);
        data.fill(&mut pong::connect(bare.address(), None)?)?;
        for created in [&alone, &pair] {
            data.fill(&mut pong::connect(created.address, Some(&created.login))?)?;
        }
        Ok(Self { server, bare, alone, pair, data })
    }

    /// A connection for one thing: none is kept while something takes long.
    fn client(&self) -> anyhow::Result<Client> {
        self.server.client()
    }
}
