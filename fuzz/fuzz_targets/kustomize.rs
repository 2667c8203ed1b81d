//! Any kustomization with any resource and patch: no panic, no hang.
#![no_main]
use herder_kustomize::{NoRemotes, Options, Tree, build};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str)| {
    let files = [("k/kustomization.yaml", texts.0), ("k/r.yaml", texts.1), ("k/p.yaml", texts.2)];
    if let Ok(tree) = Tree::from_texts(files) {
        if let Ok(built) = build(&tree, "k", &Options::default(), &NoRemotes) {
            let _ = built.to_yaml();
        }
    }
});
