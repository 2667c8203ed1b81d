//! Any text: no panic, no hang, bounded memory; and what is printed reads back as the same.
#![no_main]
use herder_object::yaml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (documents, _) = yaml::parse(text);
    for document in documents {
        if let Ok(value) = yaml::to_json(&document.root) {
            let printed = yaml::print(&value);
            let (again, errors) = yaml::parse(&printed);
            // Characters that JSON escapes and YAML has not are the exception.
            if errors.is_empty()
                && let Some(again) = again.first()
                && let Ok(read) = yaml::to_json(&again.root)
            {
                assert_eq!(yaml::print(&read), printed);
            }
        }
    }
    let _ = yaml::parse_objects(text);
});
