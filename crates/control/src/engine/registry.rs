//! The engines of this machine, and which of them serves which instance.
//!
//! `EngineVersion` is a level of compatibility. It is served by the same version where that is
//! installed, else by the lowest newer engine that is patched, and never by an older one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use ourkv_domain::instance::{EngineVersion, InstanceType};
use strum::VariantArray;

use super::{Binary, Kind, Version};

const PROGRAMS: [&str; 3] = ["redis-server", "valkey-server", "memcached"];
/// How many engines are asked for their version at a time, and how long each one may take.
const ASKED_AT_ONCE: usize = 4;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The engines of this machine.
#[derive(Debug, Clone, Default)]
pub struct Engines {
    /// By the file that `/proc/<pid>/exe` of a running one shows.
    by_executable: BTreeMap<PathBuf, Binary>,
}

/// One line of the table that `ourkv engines` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served<'a> {
    /// Redis or Memcache.
    pub instance_type: InstanceType,
    /// The level of compatibility.
    pub version: EngineVersion,
    /// What serves it, if anything does.
    pub by: Option<&'a Binary>,
}

impl Engines {
    /// Looks through `PATH` and through directories that hold one directory for each engine
    /// (`redis-6.2.14/redis-server`), and asks what is found for its version. What does not
    /// answer is left out.
    pub async fn discover(directories: &[PathBuf]) -> Self {
        let asked = candidates(directories).into_iter().map(|path| async move {
            let binary = ask(&path).await;
            if binary.is_none() {
                tracing::warn!(path = %path.display(), "does not answer with a version, left out");
            }
            binary
        });
        let found = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        Self::of(found.filter_map(std::future::ready).collect().await)
    }

    /// These engines and no others.
    pub fn of(binaries: Vec<Binary>) -> Self {
        let by_executable =
            binaries.into_iter().map(|binary| (executable(&binary.path), binary)).collect();
        Self { by_executable }
    }

    /// Every engine, oldest first within its kind.
    pub fn binaries(&self) -> Vec<&Binary> {
        let mut all: Vec<&Binary> = self.by_executable.values().collect();
        all.sort_by_key(|binary| (binary.kind, binary.version));
        all
    }

    /// What serves each type and level of compatibility.
    pub fn mapping(&self) -> Vec<Served<'_>> {
        let all = |instance_type| {
            EngineVersion::VARIANTS.iter().map(move |&version| (instance_type, version))
        };
        all(InstanceType::Redis)
            .chain([(InstanceType::Memcache, EngineVersion::default())])
            .map(|(instance_type, version)| Served {
                instance_type,
                version,
                by: self.serving(instance_type, version),
            })
            .collect()
    }

    /// What serves an instance that has not run yet.
    pub fn serving(&self, instance_type: InstanceType, version: EngineVersion) -> Option<&Binary> {
        let all = self.by_executable.values();
        match instance_type {
            InstanceType::Memcache => {
                all.filter(|b| b.kind == Kind::Memcached).max_by_key(|b| b.version)
            }
            InstanceType::Redis => {
                let wanted = version.number();
                let same = |b: &&Binary| b.kind == Kind::Redis && b.level() == wanted;
                let newer =
                    |b: &&Binary| b.kind != Kind::Memcached && b.level() > wanted && b.is_patched();
                all.clone()
                    .filter(same)
                    .max_by_key(|b| b.version)
                    .or_else(|| all.filter(newer).min_by_key(|b| (b.level(), b.kind, line(b))))
            }
        }
    }

    /// What serves an instance that ran on an engine before: of the same kind and line where
    /// installed, else the nearest newer one that reads its data files.
    pub fn not_older_than(&self, kind: Kind, version: Version) -> Option<&Binary> {
        let reading = self.by_executable.values().filter(|b| b.reads(kind, version));
        reading.min_by_key(|b| (b.kind != kind, line(b)))
    }

    /// The engine that a running process executes, by its `/proc/<pid>/exe`; an upgrade may have
    /// replaced the file since.
    pub fn by_executable(&self, executable: &Path) -> Option<&Binary> {
        self.by_executable.get(&without_deleted(executable))
    }
}

/// `/proc/<pid>/exe` as it was before the file was replaced or removed.
pub(crate) fn without_deleted(path: &Path) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(before) => PathBuf::from(before),
        None => path.to_path_buf(),
    }
}

/// Orders by line, and within a line the highest patch first.
fn line(binary: &Binary) -> (u16, u16, Reverse<u16>) {
    let (major, minor, patch) = binary.version;
    (major, minor, Reverse(patch))
}

/// The file behind all links: what the kernel shows for a running process.
fn executable(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

fn candidates(directories: &[PathBuf]) -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).filter(|dir| dir.is_absolute());
    let in_directories = directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    let mut found = BTreeMap::new();
    for place in on_path.chain(in_directories) {
        for path in PROGRAMS.map(|program| place.join(program)) {
            if path.is_file() {
                found.entry(executable(&path)).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

async fn ask(path: &Path) -> Option<Binary> {
    let name = path.file_name()?.to_str()?;
    let question = if name == "memcached" { "-V" } else { "--version" };
    let mut command = tokio::process::Command::new(path);
    command.arg(question).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWER_WITHIN, command.output()).await.ok()?.ok()?;
    let (kind, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binary {
        path: path.to_path_buf(),
        kind,
        version,
        from_distribution: is_the_distributions(&executable(path)),
    })
}

/// Distributions install below /usr, except where administrators do: /usr/local.
fn is_the_distributions(executable: &Path) -> bool {
    executable.starts_with("/usr") && !executable.starts_with("/usr/local")
}

/// Reads `Redis server v=7.0.15 sha=…`, `Valkey server v=8.1.8 …` and `memcached 1.6.18`.
fn parse_version(answer: &str) -> Option<(Kind, Version)> {
    let mut words = answer.split_whitespace();
    let kind = match words.next()? {
        "Redis" => Kind::Redis,
        "Valkey" => Kind::Valkey,
        "memcached" => Kind::Memcached,
        _ => return None,
    };
    let number = match kind {
        Kind::Memcached => words.next()?,
        Kind::Redis | Kind::Valkey => words.find_map(|word| word.strip_prefix("v="))?,
    };
    let mut parts = number.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        digits.parse().ok()
    });
    Some((kind, (parts.next()??, parts.next()??, parts.next()??)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn binary(kind: Kind, version: Version, from_distribution: bool) -> Binary {
        let path = PathBuf::from(format!("/nowhere/{kind}-{version:?}"));
        Binary { path, kind, version, from_distribution }
    }

    fn redis(version: Version) -> Binary {
        binary(Kind::Redis, version, false)
    }

    fn version_serving(engines: &Engines, version: EngineVersion) -> Option<Version> {
        engines.serving(InstanceType::Redis, version).map(|b| b.version)
    }

    #[rstest]
    #[case("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc", Kind::Redis, (7, 0, 15))]
    #[case("Valkey server v=8.1.8 sha=0", Kind::Valkey, (8, 1, 8))]
    #[case("memcached 1.6.18\n", Kind::Memcached, (1, 6, 18))]
    #[case("memcached 1.6.18-dirty", Kind::Memcached, (1, 6, 18))]
    fn reads_what_engines_call_themselves(
        #[case] answer: &str,
        #[case] kind: Kind,
        #[case] version: Version,
    ) {
        assert_eq!(parse_version(answer), Some((kind, version)));
    }

    #[rstest]
    #[case("")]
    #[case("Redis server")]
    #[case("Redis server v=7")]
    #[case("GNU bash, version 5.2.15")]
    fn takes_nothing_else_for_an_engine(#[case] answer: &str) {
        assert_eq!(parse_version(answer), None);
    }

    #[test]
    fn the_version_asked_for_serves_even_unpatched() {
        let engines = Engines::of(vec![
            redis((5, 0, 7)),
            redis((5, 0, 14)),
            binary(Kind::Redis, (7, 0, 15), true),
        ]);
        assert_eq!(version_serving(&engines, EngineVersion::V5_0), Some((5, 0, 14)));
    }

    #[test]
    fn another_version_serves_only_patched_and_the_lowest_first() {
        let engines = Engines::of(vec![
            redis((5, 0, 14)),
            redis((6, 2, 14)),
            redis((7, 4, 6)),
            binary(Kind::Redis, (7, 0, 15), true),
        ]);
        assert_eq!(version_serving(&engines, EngineVersion::V4_0), Some((7, 0, 15)));
    }

    #[test]
    fn an_older_engine_never_serves() {
        let engines = Engines::of(vec![redis((2, 8, 17))]);
        assert_eq!(version_serving(&engines, EngineVersion::V5_0), None);
    }

    #[test]
    fn valkey_counts_as_the_redis_it_grew_out_of() {
        let engines = Engines::of(vec![binary(Kind::Valkey, (8, 1, 8), false), redis((8, 0, 4))]);
        assert_eq!(version_serving(&engines, EngineVersion::V5_0), Some((8, 1, 8)));
    }

    #[test]
    fn an_instance_stays_on_its_line_and_never_goes_back() {
        let engines = Engines::of(vec![
            redis((6, 2, 14)),
            redis((7, 0, 15)),
            redis((7, 2, 4)),
            redis((7, 2, 12)),
            binary(Kind::Valkey, (8, 1, 8), false),
        ]);
        let next =
            |version| engines.not_older_than(Kind::Redis, version).map(|b| (b.kind, b.version));
        assert_eq!(next((7, 0, 15)), Some((Kind::Redis, (7, 0, 15))));
        assert_eq!(next((7, 2, 4)), Some((Kind::Redis, (7, 2, 12))));
        assert_eq!(next((7, 2, 13)), Some((Kind::Valkey, (8, 1, 8))));
        assert_eq!(next((7, 4, 1)), None);
        assert_eq!(engines.not_older_than(Kind::Valkey, (9, 0, 0)), None);
    }

    #[test]
    fn memcached_serves_every_level() {
        let engines = Engines::of(vec![binary(Kind::Memcached, (1, 6, 18), true)]);
        for &version in EngineVersion::VARIANTS {
            assert!(engines.serving(InstanceType::Memcache, version).is_some());
        }
        assert!(engines.mapping().iter().all(|served| {
            (served.instance_type == InstanceType::Memcache) == served.by.is_some()
        }));
    }

    #[test]
    fn a_replaced_executable_is_still_recognised() {
        let engines = Engines::of(vec![redis((7, 0, 15))]);
        let path = engines.binaries()[0].path.clone();
        let replaced = PathBuf::from(format!("{} (deleted)", path.display()));
        assert!(engines.by_executable(&replaced).is_some());
        assert!(engines.by_executable(Path::new("/bin/sleep")).is_none());
    }
}
