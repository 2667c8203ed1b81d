//! Which program this binary was called as.

use std::ffi::OsString;
use std::path::Path;

/// How to read the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// As `herder`, with the program name first.
    Herder(Vec<OsString>),
    /// As `vault` or `herder vault`: Go-style flags that clap does not read. Without the program name.
    Vault(Vec<OsString>),
    /// As `consul-template` or `herder template`, with Go-style flags as well. Without the program name.
    Template(Vec<OsString>),
}

/// Maps `kustomize build` to `herder kustomize build`, and so on.
pub(crate) fn called_as(mut arguments: Vec<OsString>) -> Called {
    let name = arguments
        .first()
        .map(Path::new)
        .and_then(Path::file_stem)
        .and_then(|name| name.to_str());
    let alias = match name {
        Some("kustomize") => Some("kustomize"),
        Some("kubectl") => Some("kubectl"),
        Some("consul-template") => return Called::Template(arguments.split_off(1)),
        Some("vault" | "bao") => return Called::Vault(arguments.split_off(1)),
        _ => None,
    };
    if let Some(alias) = alias {
        arguments.splice(0..1, [OsString::from("herder"), OsString::from(alias)]);
    } else if arguments.get(1).is_some_and(|word| word == "vault") {
        return Called::Vault(arguments.split_off(2));
    }
    if arguments.get(1).is_some_and(|word| word == "template") {
        return Called::Template(arguments.split_off(2));
    }
    Called::Herder(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            called_as(words("/usr/bin/kustomize build .")),
            Called::Herder(words("herder kustomize build ."))
        );
        assert_eq!(
            called_as(words("consul-template -once")),
            Called::Template(words("-once"))
        );
        assert_eq!(
            called_as(words("vault server -dev")),
            Called::Vault(words("server -dev"))
        );
        assert_eq!(
            called_as(words("herder vault server -dev")),
            Called::Vault(words("server -dev"))
        );
        assert_eq!(
            called_as(words("./herder up x")),
            Called::Herder(words("./herder up x"))
        );
    }
}
