//! The journal of instances. It outlives them.

use jiff::Timestamp;
use ourkv_domain::event::{Event, EventKind};
use ourkv_domain::ids::InstanceId;

use crate::column::{Row, columns, values};
use crate::error::StoreError;
use crate::tx::Tx;

impl Tx<'_> {
    /// Adds an event after all others of its instance.
    pub fn append_event(&mut self, event: &Event) -> Result<(), StoreError> {
        let Event { instance, at, kind, detail } = event;
        let sql = "SELECT coalesce(max(number), 0) AS latest FROM events WHERE instance = $1";
        let latest = self.count("events", sql, &values![instance], "latest")?;
        let row = columns! {
            instance: instance,
            number: latest + 1,
            happened_at: at,
            kind: kind,
            detail: detail,
        };
        match self.insert("events", &row, "ON CONFLICT DO NOTHING")? {
            0 => Err(self.collided()),
            _ => Ok(()),
        }
    }

    /// Up to `limit` events of an instance, latest first.
    pub fn events(&mut self, instance: &InstanceId, limit: i64) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT * FROM events WHERE instance = $1 ORDER BY number DESC LIMIT $2";
        let rows = self.select("events", sql, &values![instance, limit])?;
        rows.into_iter().map(read).collect()
    }

    /// How many events of a kind an instance had since then.
    pub fn events_since(
        &mut self,
        instance: &InstanceId,
        kind: EventKind,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) AS many FROM events \
                   WHERE instance = $1 AND kind = $2 AND happened_at >= $3";
        self.count("events", sql, &values![instance, kind, since], "many")
    }

    /// Forgets the events from before that instant, and returns how many.
    pub fn forget_events(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM events WHERE happened_at < $1", &values![before])
    }
}

fn read(mut row: Row) -> Result<Event, StoreError> {
    Ok(Event {
        instance: row.take("instance")?,
        at: row.take("happened_at")?,
        kind: row.take("kind")?,
        detail: row.take("detail")?,
    })
}
