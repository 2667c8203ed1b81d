//! What one build carries along: options, what was read, warnings, the schema in force.

use crate::Remotes;
use crate::error::{Error, Result};
use crate::schema::Schema;
use herder_base::{Diagnostic, Location};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// The built-in schema, or one that a kustomization brought.
#[derive(Debug, Clone)]
pub(crate) enum SchemaRef {
    Builtin(&'static Schema),
    Custom(Arc<Schema>),
}

impl Deref for SchemaRef {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        match self {
            Self::Builtin(schema) => schema,
            Self::Custom(schema) => schema,
        }
    }
}

pub(crate) struct Context<'a> {
    pub(crate) remotes: &'a dyn Remotes,
    pub(crate) read: BTreeSet<String>,
    pub(crate) warnings: Vec<Diagnostic>,
    schema: SchemaRef,
    schema_is_set: bool,
    /// Whether any resource was read under the built-in schema, which then stays in force beside a custom one.
    builtin_used: bool,
    /// Whether anything was merged under it, after which a custom schema's definitions win.
    builtin_merged: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(remotes: &'a dyn Remotes) -> Self {
        Self {
            remotes,
            read: BTreeSet::new(),
            warnings: Vec::new(),
            schema: SchemaRef::Builtin(Schema::builtin()),
            schema_is_set: false,
            builtin_used: false,
            builtin_merged: false,
        }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether a kustomization already chose the schema: the first one does, for the whole build.
    pub(crate) fn schema_is_set(&self) -> bool {
        self.schema_is_set
    }

    /// Says that resources were read under the schema in force.
    pub(crate) fn note_resources(&mut self) {
        self.builtin_used |= matches!(self.schema, SchemaRef::Builtin(_));
    }

    /// Says that something was merged under the schema in force.
    pub(crate) fn note_merge(&mut self) {
        self.builtin_merged |= matches!(self.schema, SchemaRef::Builtin(_));
    }

    /// Uses the built-in schema by name.
    pub(crate) fn set_schema_version(&mut self, version: &str) -> Result<()> {
        if version != "v1.21.2" {
            return Err(Error::new(format!("there is no built-in schema `{version}`"))
                .hint("the built-in one is v1.21.2"));
        }
        self.schema_is_set = true;
        Ok(())
    }

    /// Uses a schema that a kustomization brought.
    pub(crate) fn set_custom_schema(&mut self, text: &str) -> Result<()> {
        let base = if self.builtin_used {
            Schema::builtin().clone()
        } else {
            Schema::default()
        };
        self.schema = SchemaRef::Custom(Arc::new(crate::openapi::extend(base, text, self.builtin_merged)?));
        self.schema_is_set = true;
        Ok(())
    }

    pub(crate) fn warn(&mut self, code: &'static str, file: &str, line: u32, message: String, hint: &str) {
        let diagnostic = Diagnostic::warning(code, message)
            .at(Location::new(file, line, 0))
            .hint(hint);
        if !self.warnings.contains(&diagnostic) {
            self.warnings.push(diagnostic);
        }
    }
}
