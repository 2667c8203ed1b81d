//! Where a browser goes after signing in: a page of ours, whatever the request says.

/// What the board's addresses begin with; the overview is `/` alone.
const PAGES: [&str; 5] = ["/apps/", "/runs", "/environments", "/cluster", "/audit"];

/// The page if it is one of ours, the overview otherwise. Read as a path and a query and nothing else: browsers turn
/// backslashes into slashes and drop tabs and line ends before they look, so whatever has them is none.
pub(crate) fn local(next: &str) -> String {
    let (path, _query) = next.split_once('?').unwrap_or((next, ""));
    let clean = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>'));
    let plain = path.starts_with('/')
        && !path.contains("//")
        && !path.contains(':')
        && !path.contains('@')
        && path.split('/').all(|segment| segment != "." && segment != "..")
        && !encoded(path);
    let ours = path == "/"
        || PAGES.iter().any(|page| {
            path.strip_prefix(page)
                .is_some_and(|rest| page.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
        });
    if clean && plain && ours && next.len() <= 1024 {
        next.to_owned()
    } else {
        "/".to_owned()
    }
}

/// Whether a path hides what was refused plainly: a dot, a slash, a backslash or a control character.
fn encoded(path: &str) -> bool {
    let mut parts = path.split('%');
    let _before = parts.next();
    parts.any(|part| {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(|byte| byte.is_ascii_control() || b"./\\%".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_pages_of_ours() {
        for own in [
            "/",
            "/?q=shop&page=2",
            "/runs/team/build/3",
            "/apps/shop/production/why",
            "/runs/a%20job",
            "/audit",
        ] {
            assert_eq!(local(own), own);
        }
        for foreign in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "/\n//evil.example",
            "/..//evil.example",
            "/runs/..//evil.example",
            "/runs//evil.example",
            "/runs/%2e%2e/%2fevil.example",
            "/runs/%5cevil",
            "/runs/%",
            "https://evil.example/",
            "javascript:alert(1)",
            "/runsevil",
            "/login",
            "/api/v1/status",
            "/apps",
            "/@evil.example",
            " /runs",
            "/runs\u{a0}",
        ] {
            assert_eq!(local(foreign), "/", "{foreign:?}");
        }
    }
}
