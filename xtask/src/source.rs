//! One Rust source file, read as tokens: comments and strings are no code, and what is
//! compiled for tests only is left out.
//!
//! Does not expand macros and does not know types: a name counts wherever it stands.

use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream::IntoIter};

/// The production part of one file.
pub(crate) struct Source {
    tokens: Vec<TokenTree>,
    /// Lines above the inline test module; all lines where there is none.
    pub(crate) production_lines: usize,
}

impl Source {
    /// Reads and parses the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let stream: TokenStream = text.parse().map_err(|problem| anyhow!("{problem}"))?;
        let lines = text.lines().count();
        let production_lines = test_module_line(stream.clone()).map_or(lines, |line| line - 1);
        Ok(Self { tokens: without_tests(stream), production_lines })
    }

    /// Whether the name stands anywhere in the code.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        mentions(&self.tokens, name)
    }

    /// Every path that begins with `crate`, `self` or `super`, with groups spread out:
    /// `use crate::{a, b::c}` gives `crate::a` and `crate::b::c`.
    pub(crate) fn inner_paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        collect_paths(&self.tokens, &mut paths);
        paths
    }
}

/// The `.rs` files of a folder that are not tests (`tests.rs`, `tests/`), sorted.
pub(crate) fn production_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn test_module_line(stream: TokenStream) -> Option<usize> {
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if !is_test_attribute(&token, &mut tokens) {
            continue;
        }
        tokens.next();
        if matches!(tokens.peek(), Some(TokenTree::Ident(word)) if word == "mod") {
            return Some(token.span().start().line);
        }
    }
    None
}

fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_test_attribute(&token, &mut tokens) {
            skip_item(&mut tokens);
        } else {
            kept.push(token);
        }
    }
    kept
}

/// `#` before `[cfg(test)]` or `[cfg(all(test, ...))]`.
fn is_test_attribute(token: &TokenTree, rest: &mut Peekable<IntoIter>) -> bool {
    let hash = matches!(token, TokenTree::Punct(mark) if mark.as_char() == '#');
    let Some(TokenTree::Group(attribute)) = rest.peek() else {
        return false;
    };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

fn skip_item(tokens: &mut Peekable<IntoIter>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return,
            _ => {}
        }
    }
}

fn mentions(tokens: &[TokenTree], name: &str) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Ident(word) => word == name,
        TokenTree::Group(group) => mentions(&without_tests(group.stream()), name),
        _ => false,
    })
}

fn collect_paths(tokens: &[TokenTree], paths: &mut Vec<Vec<String>>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if *word == "crate" || *word == "self" || *word == "super" => {
                let inside_a_path = at > 0 && is_colon(&tokens[at - 1]);
                if !inside_a_path {
                    spread(&tokens[at..], &[], paths);
                }
            }
            TokenTree::Group(group) => collect_paths(&without_tests(group.stream()), paths),
            _ => {}
        }
    }
}

/// Follows `a::b::{c, d}` from its first name.
fn spread(tokens: &[TokenTree], before: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    let mut rest = tokens;
    loop {
        match rest.first() {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(is_comma) {
                    spread(branch, &path, paths);
                }
                return;
            }
            _ => break,
        }
        match rest {
            [_, first, second, ..] if is_colon(first) && is_colon(second) => rest = &rest[3..],
            _ => break,
        }
    }
    if path.len() > 1 {
        paths.push(path);
    }
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':')
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let source = Source::parse(text).unwrap();
        source.inner_paths().iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn comments_strings_and_tests_are_no_mention() {
        let text = r#"
            //! About ourkv_control.
            /// And `ourkv_control` again.
            fn name() -> &'static str { "ourkv_control" }
            #[cfg(test)]
            mod tests { use ourkv_control::Thing; }
        "#;
        assert!(!Source::parse(text).unwrap().mentions("ourkv_control"));
    }

    #[test]
    fn a_mention_is_found_at_any_depth_and_after_a_test_item() {
        let text = "#[cfg(test)] use a::B; fn f() { if x { ourkv_control::go(m!(1)) } }";
        assert!(Source::parse(text).unwrap().mentions("ourkv_control"));
        let in_macro = "fn f() { select! { x = ourkv_control::go() => {} } }";
        assert!(Source::parse(in_macro).unwrap().mentions("ourkv_control"));
    }

    #[test]
    fn spreads_groups_and_follows_expressions() {
        assert_eq!(
            paths("use crate::{a, b::{self, C}};"),
            ["crate::a", "crate::b::self", "crate::b::C"]
        );
        assert_eq!(paths("fn f() { super::g::h(); }"), ["super::g::h"]);
        assert_eq!(paths("pub(crate) fn f(&self) {}"), Vec::<String>::new());
    }

    #[test]
    fn production_lines_end_where_the_test_module_begins() {
        let text = "fn a() {}\n#[cfg(test)]\nfn helper() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::parse(text).unwrap().production_lines, 4);
        assert_eq!(Source::parse("fn a() {}\nfn b() {}\n").unwrap().production_lines, 2);
    }
}
