//! Any live object, patch and applied configuration as JSON, parted by NUL: merging and applying end without a panic,
//! and applying the same again changes nothing.
#![no_main]
use herder_object::ownership::{Applied, Schema, apply};
use herder_object::{api_version, kind, schema, strategic};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (live, patch) = text.split_once('\0').unwrap_or(("null", text));
    let (Ok(live), Ok(patch)) = (
        serde_json::from_str::<Value>(live),
        serde_json::from_str::<Value>(patch),
    ) else {
        return;
    };
    let of = schema::of(api_version(&live), kind(&live));
    let mut merged = live.clone();
    let _ = strategic::merge(&mut merged, &patch, of);
    let schema = of.map_or(Schema::Unknown, Schema::Type);
    let by = Applied {
        manager: "a",
        subresource: "",
        force: true,
        time: "2024-01-01T00:00:00Z",
    };
    if let Ok(applied) = apply(&live, &patch, schema, by) {
        assert_eq!(apply(&applied, &patch, schema, by), Ok(applied.clone()));
    }
});
