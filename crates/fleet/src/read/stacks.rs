//! stacks/: Terraform directories, kept as data.

use super::documents;
use crate::format::STACK;
use crate::{Inputs, Stack};
use herder_base::{Diagnostic, Location};
use serde_json::Value;

/// Reads the stacks.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Stack> {
    let mut stacks = Vec::new();
    for entry in inputs.root.entries("stacks") {
        let Some(name) = entry.strip_suffix('/') else {
            continue;
        };
        let path = format!("stacks/{name}");
        let file = format!("{path}/stack.yaml");
        let mut settings = Value::Null;
        if inputs.root.file(&file).is_some() {
            let (documents, _) = documents::file(&inputs.root, &file, &STACK, found);
            if let Some(first) = documents.into_iter().next() {
                settings = Value::Object(first.fields);
            }
        }
        stacks.push(Stack {
            name: name.to_owned(),
            path,
            settings,
            source: Location::new(file, 0, 0),
        });
    }
    stacks
}
