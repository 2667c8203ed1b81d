//! The answers a template has so far. Their values never show in `Debug` or in errors.

use crate::request::Request;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Answers by request. Cloning is not offered: secrets should not multiply.
#[derive(Default)]
pub struct Known {
    answers: BTreeMap<Request, Json>,
    /// What templates drew from the seed, which is hidden as well.
    drawn: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.answers.keys()).finish()
    }
}

impl Known {
    /// Adds or replaces an answer.
    pub fn insert(&mut self, request: Request, answer: Json) {
        self.answers.insert(request, answer);
    }

    /// Forgets an answer, so that it is asked for again.
    pub fn remove(&mut self, request: &Request) -> Option<Json> {
        self.answers.remove(request)
    }

    /// The answer to a request.
    #[must_use]
    pub fn get(&self, request: &Request) -> Option<&Json> {
        self.answers.get(request)
    }

    /// All requests that have an answer.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.answers.keys()
    }

    /// Notes a value that was drawn from the seed.
    pub(crate) fn note_drawn(&self, value: &str) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.insert(value.to_owned());
    }

    /// Hides every value drawn from the seed, or read from Vault, a file or the environment, that occurs in `message`, also without the space
    /// around it, and each of its lines.
    #[must_use]
    pub fn redact(&self, message: &str) -> String {
        let mut values = self.drawn.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (request, answer) in &self.answers {
            if !matches!(request, Request::Now) {
                leaves(answer, &mut values);
            }
        }
        // Longest first, so that a value that holds another is hidden whole.
        let mut values: Vec<String> = values
            .into_iter()
            .filter(|value| value.len() >= 3 && message.contains(value.as_str()))
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.iter().fold(message.to_owned(), |text, value| {
            text.replace(value.as_str(), "(hidden)")
        })
    }
}

fn leaves(value: &Json, out: &mut BTreeSet<String>) {
    match value {
        Json::String(text) => {
            out.insert(text.clone());
            out.insert(text.trim().to_owned());
            // As paths are asked for.
            out.insert(text.trim().trim_matches('/').to_owned());
            out.extend(text.lines().map(|line| line.trim().to_owned()));
        }
        Json::Number(number) => {
            out.insert(number.to_string());
        }
        Json::Array(items) => items.iter().for_each(|item| leaves(item, out)),
        Json::Object(fields) => fields.values().for_each(|field| leaves(field, out)),
        Json::Null | Json::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_values_without_their_space_and_line_by_line() {
        let mut known = Known::default();
        let path = "p".to_owned();
        known.insert(
            Request::File { path },
            serde_json::json!({"a": " /planted-one/\n", "b": "planted-two\r\n  planted-three\n", "c": 54321}),
        );
        let shown = known.redact("no planted-one, /planted-one/ planted-two planted-three 54321");
        assert_eq!(shown, "no (hidden), (hidden) (hidden) (hidden) (hidden)");
    }
}
