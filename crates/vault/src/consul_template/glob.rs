//! Patterns as Go's `filepath.Match` has them: `*` and `?` match all but `/`, `[a-z]` and `[^a-z]` one of some, and a
//! backslash takes what follows as it is.

/// Whether a pattern matches the whole of a text. One that is malformed matches only itself.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let Some(parts) = parse(pattern) else {
        return pattern == text;
    };
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where to go on if it fails: the last star takes one more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (parts.get(at), text.get(from)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                star = Some((at + 1, from));
                at += 1;
                continue;
            }
            (Some(part), Some(c)) if part.takes(*c) => {
                at += 1;
                from += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((after, taken)) if text.get(taken).is_some_and(|c| *c != '/') => {
                star = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

enum Part {
    Any,
    One,
    Char(char),
    Class(bool, Vec<(char, char)>),
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => c != '/',
            Self::Char(own) => c == *own,
            Self::Class(not, ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *not,
        }
    }
}

fn parse(pattern: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next()?),
            '[' => {
                let not = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || chars.peek() != Some(&']') {
                    let low = member(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => member(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                chars.next();
                Part::Class(not, ranges)
            }
            c => Part::Char(c),
        });
    }
    Some(parts)
}

/// One character of a class.
fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    /// Go's own cases, from `path/filepath/match_test.go`.
    #[test]
    fn as_go_matches() {
        for (pattern, text, wanted) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "aßb", true),
            ("a[^a]b", "aßb", true),
            ("a???b", "aßb", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[a-b-c]", "a", false),
            ("[", "a", false),
            ("[^bc", "a", false),
            ("a[", "ab", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
        let slow = "a*".repeat(30) + "b";
        assert!(!fits(&slow, &"a".repeat(2000)));
    }
}
