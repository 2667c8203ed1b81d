//! The order in which go-yaml v2 prints the keys of a map.

use std::cmp::Ordering;

/// go-yaml's natural order: digit runs by value, letters after everything else.
#[must_use]
pub fn natural_order(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let shared = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    // Nearly always the texts differ in an ASCII letter, and this decides without decoding.
    if let (Some(a), Some(b)) = (left.as_bytes().get(shared), right.as_bytes().get(shared))
        && a.is_ascii_alphabetic()
        && b.is_ascii_alphabetic()
    {
        return a.cmp(b);
    }
    let a: Vec<char> = left.chars().collect();
    let b: Vec<char> = right.chars().collect();
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    let (Some(&x), Some(&y)) = (a.get(i), b.get(i)) else {
        return Ordering::Equal;
    };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (false, true) => return Ordering::Less,
        (true, false) => return Ordering::Greater,
        (false, false) => {}
    }
    // A zero inside a number is significant: `a10` and `a1-`.
    let mut start = 0_i64;
    if x == '0' || y == '0' {
        let run = a.iter().take(i).rev().take_while(|c| is_digit(**c));
        if run.into_iter().any(|c| *c != '0') {
            start = 1;
        }
    }
    let (left_value, left_end) = digits(&a, i, start);
    let (right_value, right_end) = digits(&b, i, start);
    left_value
        .cmp(&right_value)
        .then(left_end.cmp(&right_end))
        .then(x.cmp(&y))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn digits(text: &[char], from: usize, start: i64) -> (i64, usize) {
    let run = text.iter().skip(from).take_while(|c| is_digit(**c));
    run.fold((start, from), |(value, end), c| {
        let digit = i64::from(u32::from(*c)) - i64::from(u32::from('0'));
        (value.wrapping_mul(10).wrapping_add(digit), end + 1)
    })
}

/// Sorts by a comparison that need not be a total order (the natural order is not), which `slice::sort_by` may
/// answer with a panic. Merge sort, stable.
pub(crate) fn sort_keys<T>(items: Vec<(&str, T)>) -> Vec<(&str, T)> {
    let sorted = items
        .iter()
        .zip(items.iter().skip(1))
        .all(|(a, b)| natural_order(a.0, b.0) != Ordering::Greater);
    if sorted || items.len() < 2 {
        return items;
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let (mut left, mut right) = (
        sort_keys(left).into_iter().peekable(),
        sort_keys(right).into_iter().peekable(),
    );
    let mut merged = Vec::with_capacity(left.len() + right.len());
    loop {
        let take_right = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => natural_order(b.0, a.0) == Ordering::Less,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => return merged,
        };
        merged.extend(if take_right { right.next() } else { left.next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_go_yaml_does() {
        let keys = ["b", "a10", "a2", "A", "1n", "_z", "a", "ä", "a-b", "a_b", "ab"];
        let sorted: Vec<&str> = sort_keys(keys.iter().map(|k| (*k, ())).collect())
            .into_iter()
            .map(|(k, ())| k)
            .collect();
        assert_eq!(
            sorted,
            ["_z", "1n", "A", "a", "a-b", "a_b", "a2", "a10", "ab", "b", "ä"]
        );
    }
}
