//! What may be linked: licences, where a package comes from, and what must be there once.

use cargo_metadata::Package;
use spdx::{Expression, ParseMode};

use crate::workspace::Workspace;

/// Licences that an Apache-2.0 program may carry along.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that must not come in by any way, with the reason.
const REFUSED: &[(&str, &str)] =
    &[("native-tls", "TLS is rustls, everywhere"), ("openssl-sys", "TLS is rustls, everywhere")];

/// Packages of which two versions at once would not understand each other.
const ONE_VERSION: &[&str] =
    &["http", "hyper", "redis", "rusqlite", "rustls", "serde", "tokio", "tracing"];

/// Checks every package in the graph.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let packages: Vec<Linked> = workspace.packages().iter().map(Linked::from).collect();
    check_all(&packages)
}

struct Linked {
    name: String,
    version: String,
    licence: Option<String>,
    /// Ours, or out of the public registry.
    known_source: bool,
}

impl From<&Package> for Linked {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.to_string(),
            version: package.version.to_string(),
            licence: package.license.clone(),
            known_source: package.source.as_ref().is_none_or(cargo_metadata::Source::is_crates_io),
        }
    }
}

fn check_all(packages: &[Linked]) -> Vec<String> {
    let mut findings: Vec<String> = packages.iter().flat_map(check_one).collect();
    for name in ONE_VERSION {
        let versions: Vec<&str> = packages
            .iter()
            .filter(|package| package.name == *name)
            .map(|package| package.version.as_str())
            .collect();
        if versions.len() > 1 {
            findings.push(format!("{name} is there in more than one version: {versions:?}"));
        }
    }
    findings
}

fn check_one(package: &Linked) -> Vec<String> {
    let mut findings = Vec::new();
    let shown = format!("{} {}", package.name, package.version);
    if let Err(problem) = check_licence(package.licence.as_deref()) {
        findings.push(format!("{shown}: {problem}"));
    }
    if !package.known_source {
        findings.push(format!("{shown}: comes from outside the public registry"));
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(name, _)| *name == package.name) {
        findings.push(format!("{shown}: refused, {reason}"));
    }
    findings
}

fn check_licence(licence: Option<&str>) -> Result<(), String> {
    let text = licence.ok_or("names no licence")?;
    let expression = Expression::parse_mode(text, ParseMode::LAX)
        .map_err(|_| format!("licence '{text}' is not an SPDX expression"))?;
    let allowed = expression
        .evaluate(|wanted| wanted.license.id().is_some_and(|id| LICENCES.contains(&id.name)));
    if allowed { Ok(()) } else { Err(format!("licence '{text}' is not on the list")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(name: &str, licence: &str) -> Linked {
        Linked {
            name: name.into(),
            version: "1.0.0".into(),
            licence: Some(licence.into()),
            known_source: true,
        }
    }

    #[test]
    fn this_workspace_links_only_what_is_allowed() {
        let workspace = Workspace::read().unwrap();
        assert_eq!(check(&workspace), Vec::<String>::new());
    }

    #[test]
    fn takes_either_side_of_an_or_and_needs_both_of_an_and() {
        assert_eq!(check_licence(Some("GPL-3.0-only OR MIT")), Ok(()));
        assert_eq!(check_licence(Some("MIT/Apache-2.0")), Ok(()));
        assert_eq!(check_licence(Some("Apache-2.0 WITH LLVM-exception")), Ok(()));
        assert!(check_licence(Some("MIT AND GPL-3.0-only")).is_err());
    }

    #[test]
    fn refuses_a_package_without_a_known_licence() {
        assert!(check_licence(None).is_err());
        assert!(check_licence(Some("Ask Bob")).is_err());
        assert!(check_licence(Some("AGPL-3.0-only")).is_err());
    }

    #[test]
    fn refuses_a_second_tls_stack_and_a_stranger() {
        let stranger = Linked { known_source: false, ..linked("stranger", "MIT") };
        let findings = check_all(&[linked("openssl-sys", "MIT"), stranger]);
        assert_eq!(
            findings,
            [
                "openssl-sys 1.0.0: refused, TLS is rustls, everywhere",
                "stranger 1.0.0: comes from outside the public registry",
            ]
        );
    }

    #[test]
    fn refuses_two_versions_of_what_must_be_one() {
        let old = Linked { version: "0.9.0".into(), ..linked("tokio", "MIT") };
        let findings = check_all(&[old, linked("tokio", "MIT"), linked("syn", "MIT")]);
        assert_eq!(findings, [r#"tokio is there in more than one version: ["0.9.0", "1.0.0"]"#]);
    }
}
