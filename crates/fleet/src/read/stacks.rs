//! stacks/: directories of Terraform. Nothing applies them, and whoever has some is told so.

use crate::Inputs;
use herder_base::{Diagnostic, Location};

/// Says of every stack that nothing is made of it.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) {
    for entry in inputs.root.entries("stacks") {
        let Some(name) = entry.strip_suffix('/') else {
            continue;
        };
        let message = format!("nothing is made of the stack `{name}`: Terraform is not run");
        found.push(
            Diagnostic::warning("no-effect", message)
                .at(Location::new(format!("stacks/{name}/stack.yaml"), 0, 0))
                .hint("run it from a job, or keep it in a repository of its own"),
        );
    }
}
