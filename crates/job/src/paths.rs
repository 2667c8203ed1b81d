//! Patterns of paths in a workspace, as Jenkins (Ant) has them.

use herder_base::wildcard;

/// Whether a path of a workspace matches a pattern: `*` and `?` within one part, `**` across parts, `/` at the end means
/// everything below. A `./` in front says nothing.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim();
    let whole = match pattern.strip_suffix('/') {
        Some(folder) => format!("{folder}/**"),
        None => pattern.to_owned(),
    };
    let parts = |text: &str| -> Vec<String> {
        text.split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect()
    };
    walk(&parts(&whole), &parts(path))
}

/// Matched part by part, every row of the table from the one before: patterns come from strangers, so the time must be
/// bounded by the product of the lengths.
fn walk(pattern: &[String], path: &[String]) -> bool {
    let mut row: Vec<bool> = vec![false; path.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            let was = row.get(at).copied().unwrap_or_default();
            let reached = if part == "**" {
                was || (at > 0 && next.get(at - 1).copied().unwrap_or_default())
            } else {
                at > 0
                    && row.get(at - 1).copied().unwrap_or_default()
                    && path.get(at - 1).is_some_and(|name| wildcard(part, name))
            };
            if let Some(cell) = next.get_mut(at) {
                *cell = reached;
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Whether a pattern or directory stays in the workspace: relative, no `..`, nothing that a shell or a log could take for
/// something else.
#[must_use]
pub fn is_within(path: &str) -> bool {
    !path.starts_with('/')
        && !path.contains(|c: char| c.is_control() || c == '\\')
        && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_paths() {
        for (pattern, path, expected) in [
            ("target/*.jar", "target/a.jar", true),
            ("target/*.jar", "target/sub/a.jar", false),
            ("target/**/*.jar", "target/a.jar", true),
            ("target/**/*.jar", "target/x/y/a.jar", true),
            ("**", "a/b", true),
            ("**/*", "a", true),
            ("build/", "build/x/y", true),
            ("build/", "build", true),
            ("./a?.txt", "ab.txt", true),
            ("a.txt", "b/a.txt", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        let hostile = "**/".repeat(60) + "x";
        assert!(!matches(&hostile, &"a/".repeat(200)));
    }

    #[test]
    fn the_workspace_is_the_end() {
        for (path, expected) in [
            ("a/b", true),
            ("", true),
            ("a..b", true),
            ("..", false),
            ("a/../b", false),
            ("/etc", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_within(path), expected, "{path}");
        }
    }
}
