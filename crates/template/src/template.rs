//! A parsed template and its evaluation in rounds: each round says what is missing until nothing is.

use crate::error::{Error, ErrorKind, position};
use crate::functions::{self, Round};
use crate::known::Known;
use crate::request::{FileWrite, Request, SourceError, Sources};
use crate::rewrite::Rewriter;
use gotmpl::{MissingKey, TemplateError, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// How many rounds of asking a template gets. A chain of dependent secrets is rarely longer than three.
const ROUNDS: usize = 64;

/// How a template is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What begins and ends an action.
    pub delimiters: (String, String),
    /// Whether a missing map key is an error rather than `<no value>`.
    pub error_on_missing_key: bool,
    /// Names of functions that may not be used; `*` matches any run of characters.
    pub denied_functions: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiters: ("{{".to_owned(), "}}".to_owned()),
            error_on_missing_key: false,
            denied_functions: Vec::new(),
        }
    }
}

/// A parsed template. Rendering does not change it.
pub struct Template {
    name: String,
    text: String,
    pub(crate) engine: Arc<Engine>,
}

/// The rewritten trees, shared with the functions that execute templates by name.
pub(crate) struct Engine {
    main: String,
    trees: BTreeMap<String, gotmpl::parse::ListNode>,
    missing_key: MissingKey,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.name)
    }
}

/// One round's result.
#[derive(Debug)]
pub struct Evaluation {
    /// The text, or why there is none; of no use while something is missing.
    pub text: Result<String, Error>,
    /// What was asked for and is not known.
    pub missing: BTreeSet<Request>,
    /// Everything asked for.
    pub used: BTreeSet<Request>,
    /// Files to write besides the output.
    pub files: Vec<FileWrite>,
}

/// A finished rendering.
pub struct Rendered {
    /// The output.
    pub text: String,
    /// Everything it depends on.
    pub used: BTreeSet<Request>,
    /// Files to write besides the output.
    pub files: Vec<FileWrite>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendered({} bytes from {:?})", self.text.len(), self.used)
    }
}

impl Template {
    /// Reads a template; unknown, denied and unsupported functions are found here.
    ///
    /// # Errors
    /// With line and column, if it does not parse or names a function it may not use.
    pub fn parse(name: &str, text: &str, options: &Options) -> Result<Self, Error> {
        let fail = |(line, column), kind| Error {
            name: name.to_owned(),
            line,
            column,
            kind,
        };
        let main = if name.is_empty() { "template" } else { name };
        let (left, right) = &options.delimiters;
        let parsed = gotmpl::Template::new(main)
            .delims(left, right)
            .parse(text)
            .map_err(|error| match error {
                TemplateError::Parse {
                    line, col, message, ..
                }
                | TemplateError::Lex {
                    line, col, message, ..
                } => fail((line, col), ErrorKind::Syntax(message)),
                other => fail((0, 0), ErrorKind::Syntax(other.to_string())),
            })?;
        if let Some(offset) = stray_end(text, left, right) {
            return Err(fail(
                position(text, offset),
                ErrorKind::Syntax("unexpected {{end}}".to_owned()),
            ));
        }
        let mut rewriter = Rewriter {
            denied: &options.denied_functions,
            fault: None,
        };
        let mut trees = BTreeMap::new();
        for tree in parsed.templates() {
            if let Some(list) = parsed.lookup(tree) {
                trees.insert(tree.to_owned(), rewriter.list(list.clone()));
            }
        }
        if let Some((offset, kind)) = rewriter.fault {
            return Err(fail(position(text, offset), kind));
        }
        if !trees.contains_key(main) {
            // A template of nothing but white space or definitions: its text is what is between them.
            let (list, _) = gotmpl::parse::Parser::new(text, left, right)
                .and_then(gotmpl::parse::Parser::parse)
                .map_err(|error| fail((0, 0), ErrorKind::Syntax(error.to_string())))?;
            trees.insert(main.to_owned(), list);
        }
        let missing_key = if options.error_on_missing_key {
            MissingKey::Error
        } else {
            MissingKey::Invalid
        };
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            engine: Arc::new(Engine {
                main: main.to_owned(),
                trees,
                missing_key,
            }),
        })
    }

    /// The template's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Evaluates once with what is known.
    #[must_use]
    pub fn evaluate(&self, known: Arc<Known>) -> Evaluation {
        let round = Arc::new(Round::new(Arc::clone(&known), Arc::clone(&self.engine)));
        let result = self.engine.execute(&round, &self.engine.main, &Value::Nil);
        let seen = round.finish();
        let text = result.map_err(|error| {
            let (line, column) = position(&self.text, seen.offset);
            Error {
                name: self.name.clone(),
                line,
                column,
                kind: ErrorKind::Execution(known.redact(&message(&error))),
            }
        });
        Evaluation {
            text,
            missing: seen.missing,
            used: seen.used,
            files: seen.files,
        }
    }

    /// Evaluates until nothing is missing.
    ///
    /// # Errors
    /// If a source has no answer, evaluating fails, or it never stops asking.
    pub fn render(&self, sources: &mut dyn Sources) -> Result<Rendered, Error> {
        let mut known = Arc::new(Known::default());
        for _ in 0..ROUNDS {
            let evaluation = self.evaluate(Arc::clone(&known));
            if evaluation.missing.is_empty() {
                return Ok(Rendered {
                    text: evaluation.text?,
                    used: evaluation.used,
                    files: evaluation.files,
                });
            }
            // The round has ended, so that this is the only holder; if not, what is known is asked for again.
            let mut next = Arc::try_unwrap(known).unwrap_or_default();
            for request in evaluation.missing {
                let answer = sources
                    .get(&request)
                    .map_err(|SourceError(reason)| self.source_error(&request, reason))?;
                next.insert(request, answer);
            }
            known = Arc::new(next);
        }
        Err(Error {
            name: self.name.clone(),
            line: 0,
            column: 0,
            kind: ErrorKind::Endless(ROUNDS),
        })
    }

    /// The error for a request that has no answer, placed in this template.
    #[must_use]
    pub fn source_error(&self, request: &Request, reason: String) -> Error {
        let (line, column) = request
            .vault_path()
            .and_then(|path| self.text.find(path))
            .map_or((0, 0), |offset| position(&self.text, offset));
        Error {
            name: self.name.clone(),
            line,
            column,
            kind: ErrorKind::Source {
                what: request.to_string(),
                reason,
            },
        }
    }
}

impl Engine {
    /// Executes one of the templates.
    pub(crate) fn execute(&self, round: &Arc<Round>, name: &str, data: &Value) -> gotmpl::Result<String> {
        let template = self.trees.iter().fold(
            gotmpl::Template::new(&self.main)
                .missing_key(self.missing_key)
                .max_range_iters(1_000_000)
                .funcs(functions::table(round)),
            |template, (name, tree)| template.add_parse_tree(name, tree.clone()),
        );
        template.execute_template_to_string(name, data)
    }
}

/// The engine's parser stops at an `{{end}}` that ends nothing and drops the rest; this finds it. A definition added
/// at the end of a text is only seen if nothing before it stopped the parser.
fn stray_end(text: &str, left: &str, right: &str) -> Option<usize> {
    const MARK: &str = "herder-end-of-text";
    let stops = |text: &str| {
        let marked = format!("{text}{left}define \"{MARK}\"{right}x{left}end{right}");
        gotmpl::Template::new("")
            .delims(left, right)
            .parse(&marked)
            .is_ok_and(|parsed| parsed.lookup(MARK).is_none())
    };
    if !stops(text) {
        return None;
    }
    let ends = text.match_indices(right).map(|(at, _)| at + right.len());
    let first = ends.into_iter().find(|end| text.get(..*end).is_some_and(stops));
    first.and_then(|end| text.get(..end)?.rfind(left)).or(Some(0))
}

fn message(error: &TemplateError) -> String {
    match error {
        TemplateError::Exec(message) => message.clone(),
        other => other.to_string(),
    }
}
