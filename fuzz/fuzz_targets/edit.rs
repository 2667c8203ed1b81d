//! Any kustomization file, name and value, parted by NUL: an edit is made or refused; made twice, it changes
//! nothing. What it wrote over several lines it may refuse to edit again.
#![no_main]
use herder_kustomize::Error;
use herder_kustomize::edit::{
    Field, List, Version, add_path, remove_path, set_field, set_image, set_ref, set_replicas,
};
use libfuzzer_sys::fuzz_target;

fn twice(text: &str, edit: impl Fn(&str) -> Result<String, Error>) {
    if let Ok(edited) = edit(text)
        && let Ok(again) = edit(&edited)
    {
        assert_eq!(again, edited);
    }
}

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let [text, name, value] = [(); 3].map(|()| parts.next().unwrap_or_default());
    twice(text, |text| set_image(text, name, None, Version::Tag(value)));
    twice(text, |text| {
        set_image(text, name, Some(value), Version::Digest(value))
    });
    twice(text, |text| set_field(text, Field::Namespace, value));
    twice(text, |text| set_replicas(text, name, 3));
    twice(text, |text| add_path(text, List::Resources, value));
    twice(text, |text| set_ref(text, name, value));
    let _ = remove_path(text, List::Components, value);
    let _ = remove_path(text, List::Resources, name);
});
