//! How a shell step runs, as Jenkins does it.

/// The variable that names the variables of a step whose values are secret, separated by commas.
pub const SECRETS: &str = "HERDER_SECRET_VARIABLES";

/// The variable that says, as JSON, which files a run keeps.
pub const ARTEFACTS: &str = "HERDER_ARTEFACTS";

/// The file of a step's script. Files are run in the order of their names.
#[must_use]
pub fn file(step: usize) -> String {
    format!("step-{step:06}.sh")
}

/// The file of a step's own variables, a JSON object.
#[must_use]
pub fn env_file(step: usize) -> String {
    format!("env-{step:06}.json")
}

/// What parts lines that `herder steps` passes on together.
pub const SEPARATOR: u8 = 0x1e;

/// The command line for a step whose text lies in `file`: what its first line names, else `/bin/sh -xe`.
#[must_use]
pub fn command(text: &str, file: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    let mut argv: Vec<String> = match first.strip_prefix("#!") {
        Some(interpreter) if !interpreter.trim().is_empty() => {
            interpreter.split_whitespace().map(str::to_owned).collect()
        }
        _ => vec!["/bin/sh".to_owned(), "-xe".to_owned()],
    };
    argv.push(file.to_owned());
    argv
}

/// A step's first telling line, shortened.
#[must_use]
pub fn title(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set "))
        .unwrap_or("shell");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(line)),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_titles() {
        assert_eq!(command("make", "/f"), ["/bin/sh", "-xe", "/f"]);
        assert_eq!(
            command("#!/usr/bin/env bash -e\nmake", "/f"),
            ["/usr/bin/env", "bash", "-e", "/f"]
        );
        assert_eq!(command("#!\nmake", "/f"), ["/bin/sh", "-xe", "/f"]);
        assert_eq!(title("#!/bin/sh\n\nset -e\n  make all \n"), "make all");
        assert_eq!(title(""), "shell");
    }
}
