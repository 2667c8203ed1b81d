//! `crds:`: files of OpenAPI definitions whose extensions say which fields are names, labels and annotations.

use crate::config::{BackReference, Config};
use crate::error::Result;
use crate::fieldspec::{self, FieldSpec};
use crate::id::Gvk;
use crate::kustomization::decode;
use serde_json::{Map, Value};

/// The configuration that the definitions amount to.
pub(crate) fn config(text: &str) -> Result<Config> {
    let root = decode::json(&decode::read(text)?)?;
    let mut result = Config::default();
    let Value::Object(types) = root else {
        return Ok(result);
    };
    for (name, definition) in &types {
        let properties = properties(definition);
        let is_object = ["kind", "apiVersion", "metadata"]
            .iter()
            .all(|field| properties.is_some_and(|properties| properties.contains_key(*field)));
        if !is_object {
            continue;
        }
        let gvk = Gvk {
            kind: name.rsplit('.').next().unwrap_or(name).to_owned(),
            ..Gvk::default()
        };
        let mut one = Config::default();
        collect(&mut one, &gvk, &types, name, &mut Vec::new())?;
        result.merge(&one)?;
    }
    Ok(result)
}

fn properties(definition: &Value) -> Option<&Map<String, Value>> {
    let schema = definition
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("schema"))
        .map(|(_, value)| value)?;
    schema.get("properties")?.as_object()
}

fn collect(
    config: &mut Config,
    gvk: &Gvk,
    types: &Map<String, Value>,
    name: &str,
    path: &mut Vec<String>,
) -> Result<()> {
    if path.len() > 30 {
        return Ok(());
    }
    let Some(properties) = types.get(name).and_then(properties) else {
        return Ok(());
    };
    for (field, property) in properties {
        path.push(field.clone());
        let text = |extension: &str| property.get(extension).and_then(Value::as_str);
        let spec = FieldSpec::new(gvk.clone(), &path.join("/"), false);
        if text("x-kubernetes-annotation").is_some() {
            fieldspec::merge_one(&mut config.common_annotations, &spec)?;
        }
        if text("x-kubernetes-label-selector").is_some() {
            fieldspec::merge_one(&mut config.common_labels, &spec)?;
        }
        if text("x-kubernetes-identity").is_some() {
            fieldspec::merge_one(&mut config.name_prefix, &spec)?;
        }
        if let (Some(version), Some(kind)) = (
            text("x-kubernetes-object-ref-api-version"),
            text("x-kubernetes-object-ref-kind"),
        ) {
            let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
            config.add_reference(&BackReference {
                gvk: Gvk {
                    version: version.to_owned(),
                    kind: kind.to_owned(),
                    ..Gvk::default()
                },
                referrers: vec![FieldSpec::new(
                    gvk.clone(),
                    &format!("{}/{key}", path.join("/")),
                    false,
                )],
            })?;
        }
        if let Some(target) = text("$ref") {
            collect(config, gvk, types, target, path)?;
        }
        path.pop();
    }
    Ok(())
}
