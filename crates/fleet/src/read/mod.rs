//! Reading: which repositories are needed, and what they say.

use crate::{Fleet, Inputs, SourceRef};
use herder_base::Diagnostic;

/// The other repositories that `inputs` refers to, as far as its trees show. Fetch what is missing from
/// `inputs.trees` and ask again, until nothing is.
#[must_use]
pub fn sources(inputs: &Inputs) -> Vec<SourceRef> {
    let _ = inputs;
    Vec::new()
}

/// Reads the fleet.
#[must_use]
pub fn read(inputs: &Inputs) -> (Fleet, Vec<Diagnostic>) {
    let _ = inputs;
    (Fleet::default(), Vec::new())
}

/// Whether `text` matches `pattern`, in which `*` is any run of characters and `?` any one.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}
