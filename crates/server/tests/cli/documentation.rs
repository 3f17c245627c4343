//! What the documentation names is there: refusals, files, tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ourkv::actions::ACTIONS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page, with its path from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let markdown = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension() == Some("md".as_ref()))
    };
    let paths = [".", "docs", "docs/decisions"].into_iter().flat_map(markdown);
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What stands between two marks on one line.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let cut = |part: &'a str| Some(part.split('\n').next()?.split_once(close)?.0);
    text.split(open).skip(1).filter_map(cut).collect()
}

#[test]
fn every_refusal_of_every_action_is_documented() {
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let mut missing = Vec::new();
    for action in ACTIONS.iter().map(|action| action.descriptor()) {
        let heading = format!("\n### {}\n", action.name);
        let section = page.split_once(&heading).map_or("", |(_, after)| after);
        let section = section.split("\n#").next().unwrap_or_default();
        assert!(!section.is_empty(), "docs/errors.md has no section {}", action.name);
        for fault in action.faults.iter().copied().flatten() {
            let row = format!("| {} | `{}` | {} |", fault.status, fault.code, fault.message);
            if !section.contains(&row) {
                missing.push(format!("{}: {row}", action.name));
            }
        }
    }
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:#?}");
}

#[test]
fn links_lead_to_files_that_exist() {
    let mut broken = BTreeSet::new();
    for (path, text) in pages() {
        for link in between(&text, "](", ')') {
            let target = link.split('#').next().unwrap_or_default();
            let outside = link.contains("://") || target.is_empty();
            if !outside && !path.with_file_name(target).exists() {
                broken.insert(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A page names a test as `path/of/file.rs::name_of_the_test`, and a file by its path.
#[test]
fn sources_that_pages_name_exist() {
    let mut missing = BTreeSet::new();
    for (page, text) in pages() {
        let named = text.split('`').skip(1).step_by(2);
        for name in
            named.filter(|name| name.starts_with("crates/") && !name.contains(['<', '…', '*', ' ']))
        {
            let (file, test) = name.split_once("::").unwrap_or((name, ""));
            let path = root().join(file);
            let known = path.exists()
                && (test.is_empty()
                    || fs::read_to_string(&path)
                        .is_ok_and(|source| source.contains(&format!("fn {test}("))));
            if !known {
                missing.insert(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
