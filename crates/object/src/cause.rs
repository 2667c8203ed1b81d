//! Why an object is not as it must be, about one field.

/// One reason among several, usually about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Such as `FieldValueRequired`.
    pub reason: String,
    /// What is wrong.
    pub message: String,
    /// The path of the field.
    pub field: String,
}
