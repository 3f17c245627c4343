//! Who may know whom.
//!
//! Cargo already refuses a crate that is not declared; here it is checked that the
//! declarations are the ones wanted, and that two folders keep away from what their
//! crate may use but they may not. A fence holds through other modules too: what a
//! fenced folder reaches by `crate::`, `self::` or `super::` is behind the same fence.
//! Names re-exported by a crate root are not followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::source::{Source, production_files};
use crate::workspace::Workspace;

/// A longer file has more than one subject.
const MAX_PRODUCTION_LINES: usize = 500;

/// Each crate with all the crates of ours that it may use.
const CRATES: &[(&str, &[&str])] = &[
    ("ourkv-domain", &[]),
    ("ourkv-wire", &[]),
    ("ourkv-store", &["ourkv-domain"]),
    ("ourkv-control", &["ourkv-domain", "ourkv-store"]),
    ("ourkv", &["ourkv-domain", "ourkv-wire", "ourkv-store", "ourkv-control"]),
    ("xtask", &[]),
];

/// The rules and the protocol do nothing: no I/O, no waiting, no storage.
const PURE: &[&str] = &["ourkv-domain", "ourkv-wire"];
const NOT_PURE: &[&str] =
    &["async-trait", "axum", "futures", "hyper", "postgres", "redis", "rusqlite", "tokio"];

/// A folder that may not know a crate which its own crate may use.
struct Fence {
    /// `src` of the crate, from the workspace's root.
    src: &'static str,
    folder: &'static str,
    forbidden: &'static str,
}

const FENCES: &[Fence] = &[
    Fence { src: "crates/server/src", folder: "actions", forbidden: "ourkv_control" },
    Fence { src: "crates/control/src", folder: "substrate", forbidden: "ourkv_store" },
];

/// Checks the declared dependencies, the fences and the file sizes.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = check_edges(&workspace.edges());
    for fence in FENCES {
        findings.extend(check_fence(&workspace.root, fence)?);
    }
    findings.extend(check_sizes(&workspace.root)?);
    Ok(findings)
}

fn check_edges(edges: &[(String, Vec<String>)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, needs) in edges {
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| known == name) else {
            findings.push(format!("{name} has no place among the layers"));
            continue;
        };
        for need in needs {
            let ours = edges.iter().any(|(other, _)| other == need);
            let impure = PURE.contains(&name.as_str()) && NOT_PURE.contains(&need.as_str());
            if impure || (ours && !allowed.contains(&need.as_str())) {
                findings.push(format!("{name} must not depend on {need}"));
            }
        }
    }
    findings
}

fn check_fence(root: &Path, fence: &Fence) -> Result<Vec<String>> {
    let src = root.join(fence.src);
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = Vec::new();
    for start in [src.join(fence.folder), src.join(fence.folder).with_extension("rs")] {
        if start.is_dir() {
            open.extend(production_files(&start)?);
        } else if start.is_file() {
            open.push(start);
        }
    }
    if open.is_empty() {
        findings.push(format!("{}/{} is not there to be fenced", fence.src, fence.folder));
    }
    while let Some(file) = open.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let source = Source::read(&file)?;
        if source.mentions(fence.forbidden) {
            let shown = file.strip_prefix(root).unwrap_or(&file).display();
            findings.push(format!(
                "{shown} uses {}, which {}/{} must not reach",
                fence.forbidden, fence.src, fence.folder
            ));
        }
        let here = module_of(&src, &file);
        for path in source.inner_paths() {
            open.extend(files_of(&src, &absolute(&here, &path)));
        }
    }
    findings.sort();
    Ok(findings)
}

/// The module that a file is: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module_of(src: &Path, file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(src).unwrap_or(file).with_extension("");
    let mut names: Vec<String> =
        inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// The path from the crate's root, without `crate`, `self` and `super`.
fn absolute(here: &[String], path: &[String]) -> Vec<String> {
    let mut names =
        if path.first().is_some_and(|first| first == "crate") { Vec::new() } else { here.to_vec() };
    for name in path {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => {
                names.pop();
            }
            other => names.push(other.to_owned()),
        }
    }
    names
}

/// The files of a path's modules: for `a::b::C` those of `a` and of `a::b`.
fn files_of(src: &Path, path: &[String]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folder = src.to_path_buf();
    for name in path {
        files.push(folder.join(name).with_extension("rs"));
        folder.push(name);
        files.push(folder.join("mod.rs"));
    }
    files.retain(|file| file.is_file());
    files
}

fn check_sizes(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for member in std::fs::read_dir(root.join("crates"))? {
        files.extend(production_files(&member?.path().join("src"))?);
    }
    files.extend(production_files(&root.join("xtask/src"))?);
    for file in files {
        let lines = Source::read(&file)?.production_lines;
        if lines > MAX_PRODUCTION_LINES {
            let shown = file.strip_prefix(root).unwrap_or(&file).display();
            findings.push(format!(
                "{shown} has {lines} production lines, more than {MAX_PRODUCTION_LINES}"
            ));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const FENCE: Fence = Fence { src: "src", folder: "actions", forbidden: "ourkv_control" };

    fn tree(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn edges(list: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        list.iter()
            .map(|(name, needs)| {
                ((*name).to_owned(), needs.iter().map(|need| (*need).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn this_workspace_keeps_its_layers() {
        let workspace = Workspace::read().unwrap();
        assert_eq!(check(&workspace).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn accepts_the_wanted_edges_and_any_outside_crate() {
        let wanted =
            edges(&[("ourkv-domain", &["serde"]), ("ourkv-store", &["ourkv-domain", "tokio"])]);
        assert_eq!(check_edges(&wanted), Vec::<String>::new());
    }

    #[test]
    fn refuses_a_forbidden_edge_and_an_unplaced_crate() {
        let wrong = edges(&[
            ("ourkv-wire", &["ourkv-domain"]),
            ("ourkv-domain", &["tokio"]),
            ("ourkv-extra", &[]),
        ]);
        assert_eq!(
            check_edges(&wrong),
            [
                "ourkv-wire must not depend on ourkv-domain",
                "ourkv-domain must not depend on tokio",
                "ourkv-extra has no place among the layers",
            ]
        );
    }

    #[test]
    fn a_fenced_folder_may_use_its_own_and_harmless_modules() {
        let root = tree(&[
            ("src/main.rs", "mod actions; mod context; mod wiring;"),
            ("src/actions.rs", "mod create;"),
            ("src/actions/create.rs", "use crate::context::Context; use super::Action;"),
            ("src/context.rs", "use ourkv_store::Store;"),
            ("src/wiring.rs", "use ourkv_control::Reconciler;"),
        ]);
        assert_eq!(check_fence(root.path(), &FENCE).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_fence_stops_direct_use() {
        let root = tree(&[("src/actions/create.rs", "fn f() { ourkv_control::start() }")]);
        assert_eq!(
            check_fence(root.path(), &FENCE).unwrap(),
            ["src/actions/create.rs uses ourkv_control, which src/actions must not reach"]
        );
    }

    #[test]
    fn a_fence_stops_use_through_another_module() {
        let root = tree(&[
            ("src/actions.rs", "mod create;"),
            ("src/actions/create.rs", "use super::super::gateway::{self, hands::Hands};"),
            ("src/gateway.rs", "pub(crate) mod hands;"),
            ("src/gateway/hands.rs", "pub(crate) use ourkv_control::Hands;"),
        ]);
        assert_eq!(
            check_fence(root.path(), &FENCE).unwrap(),
            ["src/gateway/hands.rs uses ourkv_control, which src/actions must not reach"]
        );
    }

    #[test]
    fn refuses_a_file_that_is_too_long_but_not_its_tests() {
        let long = "fn f() {}\n".repeat(MAX_PRODUCTION_LINES + 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        let root = tree(&[
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/tested.rs", &tested),
            ("crates/a/src/tested/tests.rs", &long),
            ("xtask/src/main.rs", "fn main() {}"),
        ]);
        assert_eq!(
            check_sizes(root.path()).unwrap(),
            ["crates/a/src/long.rs has 501 production lines, more than 500"]
        );
    }
}
