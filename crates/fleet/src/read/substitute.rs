//! Variables of an environment, expanded the way Flux does after a build: in the text of each object, with `${NAME}`,
//! `${NAME:-default}`, `${NAME:=default}`, `${NAME-default}`, `${NAME=default}`, and `$${NAME}` for the text itself.
//! Unlike Flux, a variable without a value and without a default is an error: an empty text is never what was meant.

use super::values::is_variable;
use herder_object::yaml;
use serde_json::Value;
use std::collections::BTreeMap;

/// Label or annotation by which an object asks to be left as it is; Flux's own.
const DISABLED: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// Expands the variables of an object; without variables nothing changes.
///
/// # Errors
/// If a variable has no value, or something is asked for that is not supported.
pub(crate) fn expand(value: &Value, variables: &BTreeMap<String, String>) -> Result<Option<Value>, String> {
    let disabled = herder_object::labels(value)
        .chain(herder_object::annotations(value))
        .any(|(name, value)| name == DISABLED && value == "disabled");
    if disabled {
        return Ok(None);
    }
    // In the printed text as Flux does it, so that `replicas: ${N}` becomes a number.
    let text = yaml::print(value);
    if !text.contains("${") {
        return Ok(None);
    }
    let expanded = text_of(&text, variables)?;
    if expanded == text {
        return Ok(None);
    }
    let (documents, errors) = yaml::parse(&expanded);
    if let Some(error) = errors.first() {
        return Err(format!(
            "with its variables expanded it is no YAML any more: {error}"
        ));
    }
    let [document] = documents.as_slice() else {
        return Err("with its variables expanded it is several documents".to_owned());
    };
    yaml::to_json(&document.root)
        .map(Some)
        .map_err(|error| format!("with its variables expanded it is no YAML any more: {error}"))
}

fn text_of(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let body = after.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = body;
            continue;
        }
        out.push_str(before);
        let end = closing(body).ok_or_else(|| {
            let head: String = body.chars().take(20).collect();
            format!("`${{{head}` has no end; write `$${{` for the text itself")
        })?;
        let (inner, tail) = body.split_at_checked(end).unwrap_or((body, ""));
        out.push_str(&one(inner, variables)?);
        rest = tail.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace closes; defaults may hold variables themselves. Never across lines.
fn closing(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut last = '\0';
    for (at, c) in body.char_indices() {
        match c {
            '\n' => return None,
            '{' if last == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        last = c;
    }
    None
}

fn one(inner: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (name, rest) = inner.split_at_checked(end).unwrap_or((inner, ""));
    if !is_variable(name) {
        return Err(format!(
            "`${{{inner}}}` is no variable; write `$${{{inner}}}` for the text itself"
        ));
    }
    let value = variables.get(name);
    let default = [":=", ":-", "=", "-"].iter().find_map(|sign| {
        let default = rest.strip_prefix(sign)?;
        Some((sign.starts_with(':'), default))
    });
    match (value, default) {
        (Some(value), None) if rest.is_empty() => Ok(value.clone()),
        (None, None) if rest.is_empty() => Err(format!("the variable `{name}` has no value")),
        (Some(value), Some((if_empty, _))) if !value.is_empty() || !if_empty => Ok(value.clone()),
        (_, Some((_, default))) => text_of(default, variables),
        (_, None) => Err(format!(
            "`${{{inner}}}`: only defaults (`:-`, `:=`, `-`, `=`) are supported"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variables() -> BTreeMap<String, String> {
        [("DOMAIN", "example.org"), ("N", "3"), ("EMPTY", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn as_flux_expands() {
        for (text, expanded) in [
            ("a ${DOMAIN} b", "a example.org b"),
            ("${DOMAIN}.${DOMAIN}", "example.org.example.org"),
            ("${NONE:-x}${NONE:=y}${NONE-z}", "xyz"),
            ("${EMPTY:-x}|${EMPTY-x}|${EMPTY}", "x||"),
            ("${NONE:-${DOMAIN}}", "example.org"),
            ("$${DOMAIN} $DOMAIN $(DOMAIN)", "${DOMAIN} $DOMAIN $(DOMAIN)"),
        ] {
            assert_eq!(text_of(text, &variables()).unwrap(), expanded, "{text}");
        }
        for (text, why) in [
            ("${NONE}", "has no value"),
            ("${DOMAIN^^}", "only defaults"),
            ("${a b}", "only defaults"),
            ("${!x}", "is no variable"),
            ("${DOMAIN", "has no end"),
        ] {
            let error = text_of(text, &variables()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn values_take_the_type_of_their_text() {
        let object = json!({"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "${N}"}});
        let expanded = expand(&object, &variables()).unwrap().unwrap();
        assert_eq!(expanded["spec"]["replicas"], json!(3));
        let left = json!({"kind": "X", "metadata": {"name": "x", "annotations": {DISABLED: "disabled"}}, "a": "${N}"});
        assert_eq!(expand(&left, &variables()), Ok(None));
    }
}
