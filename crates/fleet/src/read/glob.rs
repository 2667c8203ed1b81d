//! Globs: `*` and `?` within one part of a path, `**` across parts.

use herder_base::Tree;
pub(crate) use herder_base::wildcard;

/// The directories of a tree that a glob matches, in order. Hidden ones only if the pattern names the dot.
pub(crate) fn directories(tree: &Tree, pattern: &str) -> Vec<String> {
    let parts: Vec<&str> = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let mut found = Vec::new();
    descend(tree, String::new(), &parts, &mut found);
    found.sort();
    found.dedup();
    found
}

fn descend(tree: &Tree, here: String, parts: &[&str], found: &mut Vec<String>) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(here);
        return;
    };
    if *part == "**" {
        descend(tree, here.clone(), rest, found);
    }
    for entry in tree.entries(&here) {
        let Some(name) = entry.strip_suffix('/') else {
            continue;
        };
        if name.starts_with('.') && !part.starts_with('.') {
            continue;
        }
        let below = if here.is_empty() {
            name.to_owned()
        } else {
            format!("{here}/{name}")
        };
        if *part == "**" {
            descend(tree, below, parts, found);
        } else if wildcard(part, name) {
            descend(tree, below, rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        let tree = Tree::from_texts([
            ("n/live/a/x.yaml", ""),
            ("n/live/b/x.yaml", ""),
            ("n/.git/c/x.yaml", ""),
            ("n/x.yaml", ""),
        ])
        .unwrap();
        assert_eq!(directories(&tree, "n/*/*"), ["n/live/a", "n/live/b"]);
        assert_eq!(directories(&tree, "./n/live/a"), ["n/live/a"]);
        assert_eq!(directories(&tree, "**/b"), ["n/live/b"]);
        assert_eq!(directories(&tree, "x/*"), Vec::<String>::new());
    }
}
