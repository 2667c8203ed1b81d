//! Any words, parted by NUL, where durations, paths, remotes and variables are read: no panic; paths stay inside, and
//! what is normal or shown stays as it is.
#![no_main]
use herder_base::{
    format_duration, normalise, parse_duration, remote_identity, resolve_remote, show_remote, suggest,
};
use herder_jobs::expand;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (one, two) = text.split_once('\0').unwrap_or((text, "../x"));
    // Beyond that, floats have no single seconds any more.
    if let Ok(duration) = parse_duration(one)
        && duration.as_secs() < 1 << 50
    {
        assert!(parse_duration(&format_duration(duration)).is_ok_and(|shown| shown <= duration));
    }
    if let Ok(path) = normalise(one) {
        assert!(path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert_eq!(normalise(&path).as_ref(), Ok(&path));
    }
    let _ = resolve_remote(one, two);
    let shown = show_remote(one);
    assert_eq!(show_remote(&shown), shown);
    let _ = remote_identity(one);
    let _ = suggest(one, [two]);
    let values = [("A".to_owned(), two.to_owned())].into();
    let _ = expand(one, &values);
});
