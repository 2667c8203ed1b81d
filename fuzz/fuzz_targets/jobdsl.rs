//! Any script: the interpreter stays within its limits, and what it makes is XML.
#![no_main]
use herder_base::Tree;
use herder_jobdsl::{Options, compile, diff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(tree) = Tree::from_texts([("a.groovy", text)]) else {
        return;
    };
    let options = Options {
        steps: Some(50_000),
        ..Options::default()
    };
    for item in compile(&tree, "a.groovy", &options).items {
        assert!(diff(&item.xml, &item.xml.clone()).is_empty());
    }
});
