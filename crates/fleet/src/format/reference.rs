//! The reference of the format as Markdown, for the manual.

use super::{Field, KINDS, Type};
use std::fmt::Write as _;

/// Every kind with its fields.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for kind in KINDS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "### {} (`{}`)\n\n{}\n\n| field | is | meaning |\n|--|--|--|",
            kind.name, kind.files, kind.doc
        );
        rows(&mut text, kind.fields, "");
        text.push('\n');
    }
    text
}

fn rows(text: &mut String, fields: &[Field], prefix: &str) {
    for field in fields {
        let name = format!("{prefix}{}", field.name);
        let needed = if field.required { ", needed" } else { "" };
        let _ = writeln!(text, "| `{name}` | {}{needed} | {} |", word(&field.is), field.doc);
        inner(text, &field.is, &name);
    }
}

fn inner(text: &mut String, is: &Type, name: &str) {
    match is {
        Type::Object(fields) => rows(text, fields, &format!("{name}.")),
        Type::List(element) => inner(text, element, &format!("{name}[]")),
        Type::Map(element) => inner(text, element, &format!("{name}.*")),
        Type::Either(types) => types.iter().for_each(|is| inner(text, is, name)),
        _ => {}
    }
}

fn word(is: &Type) -> String {
    match is {
        Type::Text => "text".to_owned(),
        Type::Name => "name".to_owned(),
        Type::Scalar => "text or number".to_owned(),
        Type::Bool => "true/false".to_owned(),
        Type::Integer(low, high) => format!("{low} to {high}"),
        Type::Duration => "duration".to_owned(),
        Type::Word(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Type::List(element) => format!("list of {}", word(element)),
        Type::Map(element) => format!("mapping to {}", word(element)),
        Type::Object(_) => "mapping".to_owned(),
        Type::Either(types) => types.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}
