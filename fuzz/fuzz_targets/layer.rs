//! A layer, whatever it is: an answer, nothing outside of its folder, and never more than the bounds.
#![no_main]

use herder_images::{Bounds, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let cage = std::env::temp_dir().join(format!("herder-fuzz-layer-{}", std::process::id()));
    // What an earlier input left behind.
    let _ = std::fs::remove_dir_all(&cage);
    std::fs::create_dir_all(cage.join("layer")).expect("a folder");
    std::fs::write(cage.join("outside"), "mine").expect("a file");
    let bounds = Bounds {
        entries: 1000,
        bytes: 1 << 20,
        ratio: 100,
        free: 1 << 16,
        depth: 32,
        left: 0,
    };
    if let Ok(done) = unpack(data, &cage.join("layer"), None, &bounds) {
        assert!(done.entries <= 1000 && done.bytes <= 1 << 20);
    }
    assert_eq!(std::fs::read(cage.join("outside")).expect("still there"), b"mine");
    assert_eq!(std::fs::read_dir(&cage).expect("still there").count(), 2);
    std::fs::remove_dir_all(&cage).expect("removable");
});
