//! Folded scalars do not survive upstream's writer: it looks at the wrong place when it decides about line breaks.

use herder_object::yaml;

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether libyaml's writer allows a block scalar for a text.
fn allows_block(text: &str) -> bool {
    let printable = |c: char| {
        matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
            && c != '\u{feff}'
    };
    let space_break = text
        .chars()
        .zip(text.chars().skip(1))
        .any(|(c, next)| c == ' ' && is_break(next));
    !text.ends_with(' ') && !space_break && text.chars().all(printable)
}

/// What becomes of a folded scalar that go-yaml v3 writes and reads.
pub(super) fn write_and_read(text: &str) -> String {
    if !allows_block(text) {
        return text.to_owned();
    }
    let first_after_breaks = text.chars().find(|c| !is_break(*c));
    let doubles = first_after_breaks.is_some_and(|c| c != ' ' && c != '\t');
    let mut out = String::from(">");
    if text.starts_with(|c| c == ' ' || is_break(c)) {
        out.push('2');
    }
    let mut back = text.chars().rev();
    match (back.next().is_some_and(is_break), back.next()) {
        (false, _) => out.push('-'),
        (true, None) => out.push('+'),
        (true, Some(c)) if is_break(c) => out.push('+'),
        (true, Some(_)) => {}
    }
    out.push('\n');
    let (mut breaks, mut leading_spaces) = (true, true);
    for c in text.chars() {
        if is_break(c) {
            if !breaks && !leading_spaces && c == '\n' && doubles {
                out.push('\n');
            }
            out.push(c);
            breaks = true;
        } else {
            if breaks {
                out.push_str("  ");
                leading_spaces = c == ' ' || c == '\t';
            }
            out.push(c);
            breaks = false;
        }
    }
    let (documents, _) = yaml::parse(&out);
    let read = documents.first().and_then(|document| document.root.text());
    read.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::write_and_read;

    #[test]
    fn doubles_breaks_before_deeper_lines() {
        assert_eq!(write_and_read("a\nb\n"), "a\nb\n");
        assert_eq!(write_and_read("a\n  b\n"), "a\n\n  b\n");
        assert_eq!(write_and_read("  a\n  b\nc\n"), "  a\n  b\nc\n");
        assert_eq!(write_and_read("a \n  b"), "a \n  b");
    }
}
