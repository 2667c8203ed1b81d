//! The tables' lines: indentation read, nothing understood yet.

/// A line with those indented below it.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) number: usize,
    pub(crate) text: &'static str,
    pub(crate) below: Vec<Outline>,
}

pub(super) fn outline(text: &'static str) -> Vec<Outline> {
    let mut stack: Vec<(usize, Vec<Outline>)> = vec![(0, Vec::new())];
    let close = |stack: &mut Vec<(usize, Vec<Outline>)>| {
        if let Some((_, below)) = stack.pop()
            && let Some((_, above)) = stack.last_mut()
            && let Some(parent) = above.last_mut()
        {
            parent.below = below;
        }
    };
    for (index, line) in text.lines().enumerate() {
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let depth = (line.len() - body.len()) / 2;
        while stack.len() > depth + 1 {
            close(&mut stack);
        }
        while stack.len() < depth + 1 {
            stack.push((depth, Vec::new()));
        }
        if let Some((_, lines)) = stack.last_mut() {
            lines.push(Outline {
                number: index + 1,
                text: body.trim_end(),
                below: Vec::new(),
            });
        }
    }
    while stack.len() > 1 {
        close(&mut stack);
    }
    stack.pop().map(|(_, lines)| lines).unwrap_or_default()
}

/// Where the parenthesis that is open at the beginning closes.
pub(crate) fn matching(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}
