//! What one build may take in and multiply: files read (each time they are), values that replacements, vars and JSON
//! patches copy; and how much it may do: each of many patches looks at each of many resources. Bases of bases of bases and
//! copies of copies grow exponentially in what their texts cost, selectors times resources as their product.
//!
//! Counted in steps and not by a clock, so that what builds here builds everywhere.
//!
//! A build is one call on one thread, so the count is that thread's, from the beginning of the build.

use crate::error::{Error, Result};
use crate::node::{Content, Node};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::cell::Cell;

/// How many bytes.
const MOST: usize = 128 << 20;
/// What reading a file or holding a value costs besides its bytes.
const EACH: usize = 64;

/// How many steps: some ten seconds' worth on a slow machine, two hundred times what the largest real estate takes.
const MOST_WORK: usize = 60_000_000;
/// Steps that applying a patch to one resource takes, beside what it carries.
pub(crate) const APPLY: usize = 60;
/// Steps that compiling an expression takes, for each of its characters.
const COMPILE: usize = 200;
/// Bytes that a compiled expression may take.
const EXPRESSION: usize = 1 << 20;

thread_local! {
    static SPENT: Cell<usize> = const { Cell::new(0) };
    static WORKED: Cell<usize> = const { Cell::new(0) };
}

/// What building a kustomization costs besides what it reads.
const KUSTOMIZATION: usize = 4 << 10;

/// What handing on a resource costs besides what it holds.
const RESOURCE: usize = 2 << 10;

/// A build begins.
pub(crate) fn begin() {
    SPENT.set(0);
    WORKED.set(0);
}

/// Does this many steps more: looking at a resource, a field, a candidate.
pub(crate) fn work(steps: usize) -> Result<()> {
    let worked = WORKED.get().saturating_add(steps);
    WORKED.set(worked);
    if worked > MOST_WORK {
        return Err(Error::new(
            "the build takes more than 60 million steps of selecting, patching and replacing",
        )
        .hint("many patches, replacements or images for many resources multiply: build it in parts"));
    }
    Ok(())
}

/// Compiles an expression of somebody's, of bounded size; none if it is no expression.
pub(crate) fn expression(pattern: &str) -> Result<Option<Regex>> {
    work(pattern.len().saturating_mul(COMPILE))?;
    match RegexBuilder::new(pattern).size_limit(EXPRESSION).build() {
        Ok(regex) => Ok(Some(regex)),
        Err(regex::Error::CompiledTooBig(_)) => Err(Error::new(format!(
            "the regular expression `{pattern}` takes more than {EXPRESSION} bytes when it is compiled"
        ))
        .hint("repetitions of repetitions multiply: say it more simply")),
        Err(_) => Ok(None),
    }
}

/// Takes in this many bytes more.
pub(crate) fn spend(bytes: usize) -> Result<()> {
    let spent = SPENT.get().saturating_add(bytes).saturating_add(EACH);
    SPENT.set(spent);
    check()
}

/// Builds another kustomization.
pub(crate) fn enter() -> Result<()> {
    spend(KUSTOMIZATION)
}

/// Whether the build is within its bounds.
pub(crate) fn check() -> Result<()> {
    if SPENT.get() > MOST {
        return Err(
            Error::new("the build takes in more than 128 MiB of files, bases and copied values").hint(
                "bases that are used again and again, and copies of copies, multiply: build it in parts",
            ),
        );
    }
    Ok(())
}

/// Hands on this many resources to whoever asked: each level of bases of bases transforms them again.
pub(crate) fn hand_on(resources: usize) -> Result<()> {
    spend(resources.saturating_mul(RESOURCE))
}

/// Takes in a copy of a value.
pub(crate) fn spend_value(value: &Value) -> Result<()> {
    fn weight(value: &Value) -> usize {
        EACH + match value {
            Value::String(text) => text.len(),
            Value::Array(all) => all.iter().map(weight).sum(),
            Value::Object(all) => all.iter().map(|(key, value)| key.len() + weight(value)).sum(),
            _ => 0,
        }
    }
    spend(weight(value))
}

/// Takes in a copy of a node.
pub(crate) fn spend_node(node: &Node) -> Result<()> {
    fn weight(node: &Node) -> usize {
        EACH + match &node.content {
            Content::Nothing => 0,
            Content::Scalar(text) => text.len(),
            Content::Map(all) => all
                .iter()
                .map(|(key, value)| key.text.len() + weight(value))
                .sum(),
            Content::Seq(all) => all.iter().map(weight).sum(),
        }
    }
    spend(weight(node))
}

#[cfg(test)]
mod tests {
    use crate::{NoRemotes, Options, Tree};

    fn refused(files: &[(&str, String)]) {
        let files = files.iter().map(|(path, text)| (*path, text.as_str()));
        let tree = Tree::from_texts(files).unwrap();
        let error = crate::build(&tree, "top", &Options::default(), &NoRemotes).unwrap_err();
        assert!(error.to_string().contains("more than 128 MiB"), "{error}");
    }

    #[test]
    fn handing_on_counts() {
        super::begin();
        assert!(super::hand_on(16_000).is_ok(), "a large kustomization by itself");
        assert!(
            (0..8).any(|_| super::hand_on(16_384).is_err()),
            "each of many levels of bases"
        );
    }

    #[test]
    fn bases_of_bases_are_bounded() {
        let mut files: Vec<(String, String)> = vec![
            (
                "0/kustomization.yaml".to_owned(),
                "resources: [map.yaml]\n".to_owned(),
            ),
            (
                "0/map.yaml".to_owned(),
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n".to_owned(),
            ),
        ];
        for level in 1..40 {
            for side in ["a", "b"] {
                let below = if level == 1 {
                    "resources: [../0]".to_owned()
                } else {
                    format!("resources: [../{}a, ../{}b]", level - 1, level - 1)
                };
                let text = format!("{below}\nnamePrefix: {side}{level}-\n");
                files.push((format!("{level}{side}/kustomization.yaml"), text));
            }
        }
        files.push((
            "top/kustomization.yaml".to_owned(),
            "resources: [../39a]\n".to_owned(),
        ));
        let files: Vec<(&str, String)> = files.iter().map(|(a, b)| (a.as_str(), b.clone())).collect();
        refused(&files);
    }

    /// Three thousand patches, each for all of three thousand resources.
    #[test]
    fn work_is_bounded() {
        let maps: String = (0..3000)
            .map(|i| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: d1-{i}}}\n"))
            .collect();
        let patch = "- target: {kind: ConfigMap, name: \"(d1-.*)*x?(a*)*\"}\n  patch: |\n    - {op: add, path: /data, value: {}}\n";
        let files = [
            ("top/maps.yaml", maps),
            (
                "top/kustomization.yaml",
                format!("resources: [maps.yaml]\npatches:\n{}", patch.repeat(3000)),
            ),
        ];
        let files = files.iter().map(|(path, text)| (*path, text.as_str()));
        let tree = Tree::from_texts(files).unwrap();
        let error = crate::build(&tree, "top", &Options::default(), &NoRemotes).unwrap_err();
        assert!(error.to_string().contains("60 million steps"), "{error}");
    }

    #[test]
    fn an_expression_is_bounded_and_says_so() {
        super::begin();
        assert!(super::expression("a.*b").unwrap().is_some());
        assert!(super::expression("(").unwrap().is_none());
        let large = super::expression("((a{99}){99}){99}").unwrap_err();
        assert!(large.to_string().contains("when it is compiled"), "{large}");
    }

    /// Twelve kilobytes of vars that ask for twenty gigabytes.
    #[test]
    fn vars_are_bounded() {
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: \"{}\", v: {}}}\n",
            "$(X)".repeat(100_000),
            "v".repeat(200_000)
        );
        let top = "resources: [map.yaml]\nconfigurations: [c.yaml]\nvars:\n- {name: X, objref: {apiVersion: v1, kind: ConfigMap, name: m}, fieldref: {fieldpath: data.v}}\n";
        refused(&[
            ("top/map.yaml", map),
            (
                "top/c.yaml",
                "varReference: [{kind: ConfigMap, path: data/a}]\n".to_owned(),
            ),
            ("top/kustomization.yaml", top.to_owned()),
        ]);
    }

    #[test]
    fn copies_of_copies_are_bounded() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: 'x,x'}\n".to_owned();
        let replacement = "- source: {kind: ConfigMap, fieldPath: data.a}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.a]\n    options: {delimiter: ',', index: 1000000000}\n";
        let text = format!("resources: [map.yaml]\nreplacements:\n{}", replacement.repeat(60));
        refused(&[("top/map.yaml", map.clone()), ("top/kustomization.yaml", text)]);
        let copy: String = (0..60)
            .map(|i| format!("    - {{op: copy, from: /data, path: /data/c{i}}}\n"))
            .collect();
        let text =
            format!("resources: [map.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |-\n{copy}");
        refused(&[("top/map.yaml", map), ("top/kustomization.yaml", text)]);
    }
}
