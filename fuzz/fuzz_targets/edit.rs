//! Any kustomization file: an edit is made or refused, and what it made says what was asked for.
#![no_main]
use herder_kustomize::edit::{Field, List, Version, add_path, remove_path, set_field, set_image, set_ref, set_replicas};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str)| {
    let (text, name, value) = texts;
    if let Ok(edited) = set_image(text, name, None, Version::Tag(value)) {
        assert_eq!(set_image(&edited, name, None, Version::Tag(value)).as_deref(), Ok(edited.as_str()));
    }
    let _ = set_field(text, Field::Namespace, value);
    let _ = set_replicas(text, value, 3);
    let _ = add_path(text, List::Resources, value);
    let _ = remove_path(text, List::Components, value);
    let _ = set_ref(text, name, value);
});
