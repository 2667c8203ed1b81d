//! What kustomize does to resources, one transformation a file.

pub(crate) mod images;
pub(crate) mod labels;
pub(crate) mod name_refs;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod patches;
pub(crate) mod replacements;
pub(crate) mod replicas;
pub(crate) mod sort;
pub(crate) mod value_add;
pub(crate) mod vars;
