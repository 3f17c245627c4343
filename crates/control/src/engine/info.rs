//! What an engine tells about itself (INFO).

/// An answer to INFO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info(String);

/// How many keys an engine has in all databases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keyspace {
    /// All of them.
    pub keys: u64,
    /// Those with a time to live.
    pub expiring: u64,
}

impl Info {
    /// An answer, as it came.
    pub fn of(answer: String) -> Self {
        Self(answer)
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The value of a field that is a number; 0 where the engine doesn't know it.
    pub fn number(&self, name: &str) -> u64 {
        self.field(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Whether the engine reads its data and does not serve yet.
    pub fn is_loading(&self) -> bool {
        self.number("loading") != 0
    }

    /// Whether a child of the engine writes a file, or is going to.
    pub fn is_writing(&self) -> bool {
        ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
            .into_iter()
            .any(|field| self.number(field) != 0)
    }

    /// The sums of section `keyspace`: `db0:keys=3,expires=1,avg_ttl=0`.
    pub fn keyspace(&self) -> Keyspace {
        let databases = self.fields().filter(|(field, _)| field.starts_with("db"));
        databases.fold(Keyspace::default(), |sum, (_, counts)| {
            let count = |name| {
                let mut counts = counts.split(',').filter_map(|count| count.split_once('='));
                let count = counts.find(|(counted, _)| *counted == name);
                count.and_then(|(_, number)| number.parse::<u64>().ok()).unwrap_or(0)
            };
            Keyspace {
                keys: sum.keys.saturating_add(count("keys")),
                expiring: sum.expiring.saturating_add(count("expires")),
            }
        })
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.trim_end().split_once(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_keys_of_all_databases() {
        let answer =
            "# Keyspace\r\ndb0:keys=200001,expires=1,avg_ttl=0\r\ndb255:keys=2,expires=2\r\n";
        let keyspace = Info::of(answer.into()).keyspace();
        assert_eq!(keyspace, Keyspace { keys: 200_003, expiring: 3 });
        assert_eq!(Info::of("# Keyspace\r\n".into()).keyspace(), Keyspace::default());
    }

    #[test]
    fn tells_an_engine_that_writes_from_one_that_does_not() {
        let idle = "loading:0\r\nrdb_bgsave_in_progress:0\r\naof_rewrite_in_progress:0\r\n";
        assert!(!Info::of(idle.into()).is_writing());
        for busy in ["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1"] {
            assert!(Info::of(format!("loading:0\r\n{busy}\r\n")).is_writing(), "{busy}");
        }
        assert!(Info::of("loading:1".into()).is_loading());
    }
}
