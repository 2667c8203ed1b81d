//! Random kustomizations of several layers.

use super::overlay::{Layout, base, component, overlay};
use super::{Numbers, kubectl, ours, rounds, theirs, why};

fn random(rng: &mut Numbers) -> Layout {
    let mut layout = Layout::new();
    base(rng, "base", &mut layout);
    let mut bases = vec!["../base"];
    if rng.once_in(3) {
        base(rng, "other", &mut layout);
        bases.push("../other");
    }
    let middle = rng.once_in(3);
    if middle {
        overlay(rng, "middle", &["../base"], &mut layout);
        bases[0] = "../middle";
    }
    overlay(rng, "top", &bases, &mut layout);
    if rng.once_in(4) {
        component(rng, "part", &mut layout);
        let top = layout.get_mut("top/kustomization.yaml").unwrap();
        top.insert_str(1, "\"components\":[\"../part\"],");
    }
    layout
}

/// The case as one text, for whoever has to look into it.
fn show(layout: &Layout) -> String {
    let files: Vec<String> = layout
        .iter()
        .map(|(path, text)| format!("# {path}\n{text}"))
        .collect();
    files.concat()
}

/// The one thing that is refused although upstream prints it: see docs/kustomize.md.
fn hash_of_another_kind(layout: &Layout) -> bool {
    why(layout).is_some_and(|reason| reason.contains("cannot end with a hash"))
}

#[test]
fn kustomizations_build_the_same() {
    if !kubectl() {
        return;
    }
    let (mut same, mut failed, mut differ) = (0, 0, Vec::new());
    let count = 20 * rounds();
    for round in 0..count {
        let mut rng = Numbers::seeded(1000 + round);
        let mut layout = random(&mut rng);
        let mut built = ours(&layout, "top");
        // Most combinations are refused; a few such are enough.
        for _ in 0..20 * usize::from(round % 4 > 0) {
            if built.is_some() {
                break;
            }
            layout = random(&mut rng);
            built = ours(&layout, "top");
        }
        let (ours, theirs) = (built, theirs(&layout, "top"));
        let refused = ours.is_none() && hash_of_another_kind(&layout);
        if ours == theirs || refused {
            same += 1;
            failed += usize::from(theirs.is_none());
        } else {
            differ.push(format!(
                "round {round}\n{}\nours: {}\ntheirs: {}",
                show(&layout),
                ours.as_deref().unwrap_or("refused"),
                theirs.as_deref().unwrap_or("refused"),
            ));
        }
    }
    println!("{same} of {count} kustomizations built the same, {failed} of them refused by both");
    assert!(differ.is_empty(), "{} differ: {}", differ.len(), differ[0]);
}
