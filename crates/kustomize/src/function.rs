//! KRM functions: generators and transformers that are programs, allowed one by one.
//!
//! Running them is the caller's ([`Functions`]); nothing that a repository names runs unless the caller allows that very
//! name. What goes in and comes out is a ResourceList.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::kustomization::decode::{self, Decoder};
use crate::load::Loader;
use crate::read;
use crate::resmap::{ResMap, id_key};
use crate::resource::{Behavior, Resource};
use herder_object::yaml;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Runs the functions that somebody allowed.
pub trait Functions {
    /// Runs one with a ResourceList as its input, and returns what it prints; `None` if it is not allowed.
    fn run(&self, call: &FunctionCall) -> Option<std::result::Result<String, String>>;
}

/// A function to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FunctionCall {
    /// The program, as the configuration names it.
    pub program: String,
    /// The kustomization's directory on this machine, if it is on this machine.
    pub dir: Option<String>,
    /// A ResourceList.
    pub input: String,
}

const ANNOTATIONS: [&str; 2] = ["config.kubernetes.io/function", "config.k8s.io/function"];
const NEEDS_HASH: &str = "kustomize.config.k8s.io/needs-hash";
const BEHAVIOR: &str = "kustomize.config.k8s.io/behavior";

/// A function as a plugin's configuration names it.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    program: String,
    dir: Option<String>,
    config: Value,
}

impl Function {
    /// The function that a plugin's configuration names, if it names one.
    pub(crate) fn of(config: &Resource, loader: &Loader<'_>) -> Result<Option<Self>> {
        let annotations = config.annotations();
        let Some(spec) = ANNOTATIONS.iter().find_map(|name| annotations.get(*name)) else {
            return Ok(None);
        };
        let fail = |error: Error| config.error(error);
        let spec = decode::read(spec).map_err(fail)?;
        let mut decoder = Decoder::lenient(&spec).map_err(fail)?;
        let exec = decoder.optional("exec", |node| Decoder::lenient(node)?.string("path"));
        let Some(program) = exec.map_err(fail)?.filter(|path| !path.is_empty()) else {
            return Err(fail(Error::new("functions in containers are refused").hint(
                "a function with `exec: {path: …}` can be allowed by its name with --allow-function",
            )));
        };
        Ok(Some(Self {
            program,
            dir: loader.absolute(),
            config: config.node.to_json().map_err(fail)?,
        }))
    }

    fn call(&self, context: &Context<'_>, items: Vec<Value>) -> Result<Vec<Resource>> {
        let list = json!({
            "apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": items, "functionConfig": self.config,
        });
        let call = FunctionCall {
            program: self.program.clone(),
            dir: self.dir.clone(),
            input: yaml::print(&list),
        };
        let result = context
            .remotes
            .functions()
            .and_then(|functions| functions.run(&call));
        let printed = match result {
            Some(Ok(printed)) => printed,
            Some(Err(reason)) => {
                return Err(Error::new(format!(
                    "the function `{}` failed: {reason}",
                    self.program
                )));
            }
            None => {
                return Err(
                    Error::new(format!("the function `{}` is not allowed", self.program)).hint(format!(
                        "allow it by its name with --allow-function {}",
                        self.program
                    )),
                );
            }
        };
        let from = format!("the output of {}", self.program);
        read::resources(&printed, &from.as_str().into())
    }

    /// The resources it makes.
    pub(crate) fn generate(&self, context: &Context<'_>) -> Result<Vec<Resource>> {
        let mut made = self.call(context, Vec::new())?;
        for resource in &mut made {
            let mut annotations = resource.annotations();
            let hash = annotations.remove(NEEDS_HASH).unwrap_or_default();
            let behavior = annotations.remove(BEHAVIOR).unwrap_or_default();
            resource.history.needs_hash = matches!(hash.as_str(), "true" | "1" | "t" | "T" | "TRUE" | "True");
            resource.history.behavior = Behavior::parse(&behavior);
            resource.set_annotations(annotations);
        }
        Ok(made)
    }

    /// Replaces resources by what it makes of them: same ids are the same resources, others are new, missing ones go.
    pub(crate) fn transform(&self, context: &Context<'_>, map: &mut ResMap) -> Result<()> {
        let items = map.list().iter().map(|resource| {
            let mut shown = resource.clone();
            shown.finish(false);
            shown.node.to_json().map_err(|error| resource.error(error))
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        let schema = context.schema();
        let made = self.call(context, items)?;
        let mut kept = HashSet::new();
        for resource in made {
            let key = id_key(&resource, &schema);
            if !kept.insert(key.clone()) {
                return Err(resource.error(Error::new("the function made it twice")));
            }
            let old = map.list_mut().iter_mut().find(|old| id_key(old, &schema) == key);
            match old {
                Some(old) => old.node = resource.node,
                None => map.append(resource, &schema)?,
            }
        }
        map.list_mut()
            .retain(|resource| kept.contains(&id_key(resource, &schema)));
        Ok(())
    }
}
