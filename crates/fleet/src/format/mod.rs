//! The format of the fleet repository's own files, as tables: which fields a kind has, of what type, what they mean.
//!
//! Checking a file, the JSON Schemas for editors and the reference in the manual all come from these tables, so that
//! they cannot disagree. What the fields *do* is not here.

mod check;
mod kinds;
mod reference;
mod schema;

pub(crate) use check::{Checked, check, is_name};
pub use kinds::KINDS;
pub(crate) use kinds::{ACKNOWLEDGED, APPLICATION, ENVIRONMENT, FLEET, JOB, ROLES, STACK, TEAM};
pub use reference::reference;
pub use schema::json_schema;

/// A kind of file.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name in the enveloped form.
    pub name: &'static str,
    /// Which files are of this kind.
    pub files: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub is: Type,
    /// Whether it must be there.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// A string.
    Text,
    /// A name as Kubernetes has them: lower-case letters, digits and `-`.
    Name,
    /// A string, number or boolean, taken as text.
    Scalar,
    /// `true` or `false`.
    Bool,
    /// A whole number between these.
    Integer(i64, i64),
    /// `30s`, `5m`, `1h30m` or `2d`.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Type),
    /// A mapping with names of one's own.
    Map(&'static Type),
    /// A mapping with these fields.
    Object(&'static [Field]),
    /// One of these; which one follows from how it is written (text, list or mapping).
    Either(&'static [Type]),
}
