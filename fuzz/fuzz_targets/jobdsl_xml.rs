//! Any config.xml: it is read or refused; what is read prints and reads back as the same.
#![no_main]
use herder_jobdsl::{diff, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(item) = import("job", "config.xml", text) {
        let again = import("job", "config.xml", &item.xml).expect("what is printed can be read");
        assert_eq!(item.xml, again.xml);
        assert!(diff(text, &item.xml).is_empty());
    }
});
