//! Globs: `*` and `?` within one part of a path, `**` across parts.

use herder_base::Tree;
pub(crate) use herder_base::wildcard;

/// Where a path leads, with every link on the way followed; `None` if that is nowhere in the tree.
pub(crate) fn real(tree: &Tree, path: &str) -> Option<String> {
    let mut path = herder_base::normalise(path).ok()?;
    // Links of links are rare, circles never end.
    'links: for _ in 0..32 {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let (head, tail) = path.split_at_checked(end)?;
            let Some(link) = tree.file(head).filter(|file| file.symlink) else {
                continue;
            };
            let target = std::str::from_utf8(&link.bytes).ok()?;
            if target.starts_with('/') {
                return None;
            }
            let parent = head.rsplit_once('/').map_or("", |(parent, _)| parent);
            path = herder_base::normalise(format!("{parent}/{target}{tail}").trim_start_matches('/')).ok()?;
            continue 'links;
        }
        return (tree.file(&path).is_some() || tree.is_dir(&path)).then_some(path);
    }
    None
}

/// The directories of a tree that a glob matches, in order; links to directories are. Hidden ones only if the pattern names the dot.
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
            linked(tree, &here, &entry, part, rest, found);
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

/// A link to a directory is one too, but nothing that `**` goes through: it might lead back.
fn linked(tree: &Tree, here: &str, name: &str, part: &str, rest: &[&str], found: &mut Vec<String>) {
    let path = if here.is_empty() {
        name.to_owned()
    } else {
        format!("{here}/{name}")
    };
    if part == "**"
        || name.starts_with('.')
        || !wildcard(part, name)
        || !tree.file(&path).is_some_and(|file| file.symlink)
    {
        return;
    }
    let Some(dir) = real(tree, &path).filter(|dir| tree.is_dir(dir)) else {
        return;
    };
    if rest.is_empty() {
        found.push(path);
    } else {
        descend(tree, dir, rest, found);
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
