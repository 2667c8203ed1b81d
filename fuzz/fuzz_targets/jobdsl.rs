//! Any script: the interpreter stays within its limits, and what it makes is XML that reads back as the same.
#![no_main]
use herder_base::Tree;
use herder_jobdsl::{ItemKind, Options, compile, diff, import};
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
        // Only jobs have a root element that is known here; a space makes it another text, which is then read.
        let other = format!("{} ", item.xml);
        assert!(diff(&item.xml, &other).is_empty(), "{}", item.xml);
        if item.kind == ItemKind::Job
            && let Ok(again) = import(&item.name, "config.xml", &item.xml)
        {
            assert!(diff(&item.xml, &again.xml).is_empty(), "{}", item.xml);
        }
    }
});
