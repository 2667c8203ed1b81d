//! Any repository as a fleet, parted by NUL (path and text in turn): no panic, no hang, and the same fleet every time.
#![no_main]
use herder_base::Tree;
use herder_fleet::{Inputs, read, sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.split('\0').collect();
    let Ok(root) = Tree::from_texts(parts.chunks_exact(2).map(|file| (file[0], file[1]))) else {
        return;
    };
    let inputs = Inputs {
        fleet_url: "https://git.example/org/fleet".into(),
        root,
        ..Inputs::default()
    };
    let wanted = sources(&inputs);
    assert_eq!(sources(&inputs), wanted);
    let (_, found) = read(&inputs);
    assert_eq!(read(&inputs).1, found);
});
