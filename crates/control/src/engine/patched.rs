//! Which upstream releases carry the fixes without which a tenant leaves its instance by Lua.
//!
//! A tenant may run EVAL, so an engine that serves a version it was not asked for has to be at
//! least as new as the first release of its line with these fixes. A distribution backports them
//! without raising the number; its own engines are not judged here.

use super::{Kind, Version};

/// CVE-2025-49844 (use after free by a Lua script, remote code execution), disclosed together
/// with CVE-2025-46817, -46818 and -46819.
const REASON: &str = "CVE-2025-49844: a Lua script can run native code";

/// The first fixed release of each line that got one.
const REDIS: [Version; 5] = [(6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)];
const VALKEY: [Version; 3] = [(7, 2, 11), (8, 0, 6), (8, 1, 4)];

/// Why this upstream release is not fit, if it is not. Lines after the last one listed began
/// with the fix; lines before it that are not listed never got one.
pub(super) fn missing_fix(kind: Kind, version: Version) -> Option<&'static str> {
    let first_fixed: &[Version] = match kind {
        Kind::Redis => &REDIS,
        Kind::Valkey => &VALKEY,
        Kind::Memcached => return None,
    };
    let same_line = |fixed: &&Version| (fixed.0, fixed.1) == (version.0, version.1);
    let fixed = match first_fixed.iter().find(same_line) {
        Some(first) => version >= *first,
        None => first_fixed.last().is_some_and(|newest| version > *newest),
    };
    (!fixed).then_some(REASON)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Kind::Redis, (2, 8, 17), false)]
    #[case(Kind::Redis, (6, 2, 14), false)]
    #[case(Kind::Redis, (6, 2, 20), true)]
    #[case(Kind::Redis, (7, 0, 15), false)]
    #[case(Kind::Redis, (8, 4, 0), true)]
    #[case(Kind::Valkey, (8, 1, 3), false)]
    #[case(Kind::Valkey, (9, 1, 2), true)]
    #[case(Kind::Memcached, (1, 4, 0), true)]
    fn knows_the_first_fixed_release_of_a_line(
        #[case] kind: Kind,
        #[case] version: Version,
        #[case] fit: bool,
    ) {
        assert_eq!(missing_fix(kind, version).is_none(), fit);
    }
}
