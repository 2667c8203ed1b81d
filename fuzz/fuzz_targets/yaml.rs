//! Any text: no panic, no hang, bounded memory; and what is printed reads back as the same.
#![no_main]
use herder_object::yaml;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Equal, where a number with an exponent and the same number without one are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Whether a key reads back as a merge: go-yaml v2 prints it without quotes, and so do we.
fn has_merge(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_merge),
        Value::Object(map) => map.contains_key("<<") || map.values().any(has_merge),
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let (documents, _) = yaml::parse(text);
    for document in documents {
        if let Ok(value) = yaml::to_json(&document.root)
            && !has_merge(&value)
        {
            let printed = yaml::print(&value);
            let (again, errors) = yaml::parse(&printed);
            assert!(errors.is_empty(), "{errors:?}\n{printed}");
            let read = again.first().and_then(|again| yaml::to_json(&again.root).ok());
            assert!(
                read.as_ref().is_some_and(|read| same(read, &value)),
                "{value}\n{read:?}\n{printed}"
            );
        }
    }
    let _ = yaml::parse_objects(text);
});
