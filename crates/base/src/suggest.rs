//! "Did you mean …?"

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1) + usize::from(word.chars().count() > 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut above_left = i + 1;
        let mut next = vec![i + 1];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = usize::from(!left.eq_ignore_ascii_case(right));
            let best = (diagonal + cost).min(above + 1).min(above_left + 1);
            diagonal = *above;
            above_left = best;
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(suggest("replcias", ["replicas", "image"]), Some("replicas"));
        assert_eq!(suggest("namspace", ["name", "namespace"]), Some("namespace"));
        assert_eq!(suggest("zzz", ["replicas"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
