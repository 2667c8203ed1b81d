//! What a decision is made from: read, or not read and why. Owns the difference between nothing and not knowing.

/// An input of planning. There is deliberately no default: whoever could not read something has to say so, and what
/// depends on it stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It was read.
    Known(T),
    /// It could not be read, for this reason.
    Unknown(String),
}

impl<T> Known<T> {
    /// From an attempt to read it; the reason is the error with its causes.
    pub fn of<E: std::error::Error + 'static>(read: Result<T, E>) -> Self {
        match read {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Unknown(herder_base::chain(&error).to_string()),
        }
    }

    /// What a read value becomes; the reason stays.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Known(value) => Known::Known(change(value)),
            Self::Unknown(why) => Known::Unknown(why),
        }
    }
}
