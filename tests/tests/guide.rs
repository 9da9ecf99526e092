//! The guide holds together: links lead somewhere in the book, files that it names exist, and the table of
//! contents has every page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages outside of the guide that link into it.
const OTHERS: [&str; 10] = [
    "README.md",
    "examples/minimal-kernel/README.md",
    "examples/with-bootloader/README.md",
    "pvops-core/README.md",
    "backend-native/README.md",
    "backend-kvm/README.md",
    "backend-xen/README.md",
    "backend-vmi/README.md",
    "backend-vmi/vmi-rom/README.md",
    "xtask/README.md",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn guide() -> Vec<PathBuf> {
    let directory = fs::read_dir(repository().join("docs")).unwrap();
    let paths = directory.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect()
}

/// The lines outside of code blocks, without code in them.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let outside = line.split('`').step_by(2);
            lines.push(outside.collect::<Vec<_>>().join("code"));
        }
    }
    lines
}

fn links(text: &str) -> Vec<String> {
    let lines = prose(text);
    let pieces = lines.iter().flat_map(|line| line.split("](").skip(1));
    let targets = pieces.filter_map(|piece| piece.split_once(')'));
    targets.map(|(target, _)| target.into()).collect()
}

/// The anchors of headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let lines = text.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code && line.starts_with('#')
    });
    let titles = lines.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let anchor = |title: String| {
        let kept = title
            .chars()
            .filter(|&letter| letter.is_alphanumeric() || " -_".contains(letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    titles.map(anchor).collect()
}

/// The files and directories of this repository that the prose names, by their paths.
fn named_paths(text: &str) -> Vec<String> {
    // What is made, and what is not of this repository.
    let others = ["", ".", "target"];
    let is_ours = |span: &&str| {
        let top = span.split_once('/').map(|(top, _)| top);
        top.is_some_and(|top| !others.contains(&top) && repository().join(top).is_dir())
    };
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code
    });
    let spans = prose.flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter(is_ours).map(Into::into).collect()
}

/// Why `target`, as `page` links to it, leads nowhere.
fn fault(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let linked = match path {
        "" => page.into(),
        _ => page.parent().unwrap().join(path),
    };
    if !linked.exists() {
        return Some(format!("{}: there is no {target}", page.display()));
    }
    let guide = repository().join("docs");
    if page.starts_with(&guide) && path.contains('/') {
        return Some(format!("{}: {target} is not in the book", page.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    let found = match path {
        "" => anchors(text),
        _ => anchors(&fs::read_to_string(linked).unwrap()),
    };
    match found.contains(anchor) {
        true => None,
        false => Some(format!("{}: there is no heading {target}", page.display())),
    }
}

#[test]
fn links_lead_somewhere() {
    let others = OTHERS.map(|path| repository().join(path));
    let mut faults = Vec::new();
    let mut count = 0;
    for page in guide().into_iter().chain(others) {
        let text = fs::read_to_string(&page).unwrap();
        for target in links(&text) {
            count += 1;
            faults.extend(fault(&page, &text, &target));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 100, "only {count} links were found");
}

#[test]
fn files_that_are_named_exist() {
    let mut count = 0;
    for page in guide() {
        let text = fs::read_to_string(&page).unwrap();
        for path in named_paths(&text) {
            count += 1;
            let exists = repository().join(&path).exists();
            assert!(exists, "{}: there is no {path}", page.display());
        }
    }
    assert!(count > 20, "only {count} paths were found");
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let summary = repository().join("docs/SUMMARY.md");
    let mut listed = links(&fs::read_to_string(&summary).unwrap());
    let names = guide()
        .into_iter()
        .filter(|page| *page != summary)
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned());
    let mut pages: Vec<_> = names.collect();
    listed.sort();
    pages.sort();
    assert_eq!(listed, pages);
}

#[test]
fn dead_links_are_found() {
    let page = repository().join("docs/ops.md");
    let text = "# Some `code`, then\n```\n# no heading\n```\n";
    let dead = |target| fault(&page, text, target).is_some();
    assert!(dead("nowhere.md") && dead("#no-heading") && dead("ops.md#nothing"));
    assert!(dead("../examples/minimal-kernel"));
    assert!(!dead("ops.md") && !dead("#some-code-then") && !dead("ops.md#irqenable"));
    assert_eq!(
        links("[a](b) `[c](d)`\n```\n[e](f)\n```\n[g](h#i)"),
        ["b", "h#i"]
    );
}
