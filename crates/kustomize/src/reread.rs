//! Upstream's last detour: objects are written as JSON and read as YAML again before they are printed. Nearly always
//! nothing comes of it; U+0085 is a line break to YAML, though, and some characters JSON has are none of YAML's.

use crate::error::{Error, Result};
use crate::hash::json_text;
use herder_object::yaml;
use serde_json::{Map, Value};

fn is_affected(text: &str) -> bool {
    let odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    text.bytes().any(|byte| byte >= 0x7f) && text.contains(odd)
}

fn reread(text: &str) -> Result<String> {
    let (documents, _) = yaml::parse(&json_text(text));
    let read = documents.first().and_then(|document| document.root.text());
    read.map(str::to_owned).ok_or_else(|| {
        Error::new(format!("{text:?} holds a character that YAML has not"))
            .hint("kustomize refuses it too; leave it out")
    })
}

/// What becomes of an object.
pub(crate) fn through_json(value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) if is_affected(text) => *text = reread(text)?,
        Value::Array(items) => items.iter_mut().try_for_each(through_json)?,
        Value::Object(map) => {
            if map.keys().any(|key| is_affected(key)) {
                let mut renamed = Map::new();
                for (key, item) in std::mem::take(map) {
                    let key = if is_affected(&key) { reread(&key)? } else { key };
                    renamed.insert(key, item);
                }
                *map = renamed;
            }
            map.values_mut().try_for_each(through_json)?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn folds_and_refuses_as_upstream() {
        let mut value = json!({"a": "x \u{85} y", "b": ["é\u{a0}"]});
        through_json(&mut value).unwrap();
        assert_eq!(value, json!({"a": "x y", "b": ["é\u{a0}"]}));
        assert!(through_json(&mut json!("\u{7f}")).is_err());
    }
}
