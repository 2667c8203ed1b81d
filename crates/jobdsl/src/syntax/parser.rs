//! The cursor over the tokens, names and types; the rest of the parser is in the files beside it.

use super::ast::{Expr, Import, Module, Name, StmtKind, TypeName};
use super::lexer::{Tok, Token, tokens};
use std::rc::Rc;

/// Text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Byte offset in the file.
    pub(crate) at: u32,
    pub(crate) message: String,
}

pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// How deep expressions and blocks may nest.
const DEEPEST: usize = 250;

/// How many operators, calls and members one expression may chain: the tree is as deep as the chain is long.
const LONGEST: usize = 20_000;

pub(super) struct Parser<'a> {
    pub(super) source: &'a str,
    pub(super) tokens: Rc<[Token]>,
    pub(super) pos: usize,
    /// Within parentheses or brackets line breaks mean nothing.
    pub(super) enclosed: bool,
    /// Lines that are no Groovy are commands here.
    pub(super) shell: bool,
    /// A brace here does not begin a closure that is passed on.
    pub(super) no_closure: bool,
    depth: usize,
}

/// Reads a file.
pub(crate) fn parse(source: &str) -> Result<Module, SyntaxError> {
    let mut parser = Parser::new(source, tokens(source).into());
    parser.module()
}

/// Reads one expression, as in tables.
pub(crate) fn parse_expression(source: &str) -> Result<Expr, SyntaxError> {
    let mut parser = Parser::new(source, tokens(source).into());
    let expression = parser.command_expression()?;
    if matches!(parser.peek(), Tok::End) {
        Ok(expression)
    } else {
        parser.unexpected("the end")
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a str, tokens: Rc<[Token]>) -> Self {
        Self {
            source,
            tokens,
            pos: 0,
            enclosed: false,
            shell: false,
            no_closure: false,
            depth: 0,
        }
    }

    pub(super) fn token_at(&self, pos: usize) -> Option<&Token> {
        self.tokens.get(pos)
    }

    pub(super) fn peek(&self) -> &Tok {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Tok {
        self.tokens
            .get(self.pos + ahead)
            .map_or(&Tok::End, |token| &token.kind)
    }

    /// Where the next token begins.
    pub(super) fn at(&self) -> u32 {
        self.tokens
            .get(self.pos)
            .or_else(|| self.tokens.last())
            .map_or(0, |token| token.at)
    }

    /// Where the last token ended.
    pub(super) fn ended(&self) -> u32 {
        self.pos
            .checked_sub(1)
            .and_then(|pos| self.tokens.get(pos))
            .map_or(0, |token| token.end)
    }

    /// Whether a line break that ends a statement stands before the next token.
    pub(super) fn breaks(&self) -> bool {
        !self.enclosed && self.tokens.get(self.pos).is_none_or(|token| token.newline)
    }

    pub(super) fn spaced(&self) -> bool {
        self.tokens.get(self.pos).is_some_and(|token| token.space)
    }

    pub(super) fn advance(&mut self) {
        if self.pos + 1 < self.tokens.len() {
            self.pos += 1;
        }
    }

    pub(super) fn is(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(found) if *found == op)
    }

    pub(super) fn is_at(&self, ahead: usize, op: &str) -> bool {
        matches!(self.peek_at(ahead), Tok::Op(found) if *found == op)
    }

    pub(super) fn eat(&mut self, op: &str) -> bool {
        let found = self.is(op);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, op: &str) -> Parsed<()> {
        if self.eat(op) {
            return Ok(());
        }
        self.unexpected(&format!("`{op}`"))
    }

    pub(super) fn word(&self) -> Option<Name> {
        self.word_at(0)
    }

    pub(super) fn word_at(&self, ahead: usize) -> Option<Name> {
        match self.peek_at(ahead) {
            Tok::Word(word) => Some(word.clone()),
            _ => None,
        }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Tok::Word(found) if **found == *word)
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect_name(&mut self) -> Parsed<Name> {
        match self.word() {
            Some(word) => {
                self.advance();
                Ok(word)
            }
            None => self.unexpected("a name"),
        }
    }

    pub(super) fn fail<T>(&self, at: u32, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError {
            at,
            message: message.into(),
        })
    }

    pub(super) fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            Tok::Word(word) => format!("`{word}`"),
            Tok::Int(value) => format!("`{value}`"),
            Tok::Decimal(value) => format!("`{value}`"),
            Tok::Text(_) | Tok::GText(_) => "a text".to_owned(),
            Tok::Op(op) => format!("`{op}`"),
            Tok::Bad(why) => return self.fail(self.at(), why.to_string()),
            Tok::End => "the end".to_owned(),
        };
        self.fail(self.at(), format!("{wanted} is expected here, not {found}"))
    }

    /// Goes one level deeper, to a limit.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return self.fail(self.at(), format!("this nests deeper than {DEEPEST} levels"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Counts a link of a chain, to a limit.
    pub(super) fn link(&self, links: &mut usize) -> Parsed<()> {
        *links += 1;
        if *links > LONGEST {
            return self.fail(
                self.at(),
                format!("this expression has more than {LONGEST} parts"),
            );
        }
        Ok(())
    }

    /// Reads within parentheses or brackets.
    pub(super) fn enclosed<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let before = std::mem::replace(&mut self.enclosed, true);
        let result = read(self);
        self.enclosed = before;
        result
    }

    /// Reads within braces.
    pub(super) fn in_braces<T>(
        &mut self,
        shell: bool,
        read: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let enclosed = std::mem::replace(&mut self.enclosed, false);
        let shell = std::mem::replace(&mut self.shell, shell);
        let result = self.nested(read);
        self.enclosed = enclosed;
        self.shell = shell;
        result
    }

    /// Tries something; puts the cursor back if it is not there.
    pub(super) fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (pos, enclosed) = (self.pos, self.enclosed);
        let result = read(self);
        if result.is_none() {
            self.pos = pos;
            self.enclosed = enclosed;
        }
        result
    }

    /// `a.b.C<D, ? extends E>[]`.
    pub(super) fn type_name(&mut self) -> Option<TypeName> {
        let mut name = self.word()?.to_string();
        self.advance();
        while self.is(".") && matches!(self.peek_at(1), Tok::Word(_)) {
            self.advance();
            name.push('.');
            name.push_str(&self.word()?);
            self.advance();
        }
        if self.is("<") && !self.type_arguments() {
            return None;
        }
        let mut array = false;
        while self.is("[") && self.is_at(1, "]") {
            self.advance();
            self.advance();
            array = true;
        }
        Some(TypeName {
            name: name.into(),
            array,
        })
    }

    /// `<A, B<C>>`; says whether it was that.
    fn type_arguments(&mut self) -> bool {
        let start = self.pos;
        let mut open = 0i32;
        loop {
            match self.peek() {
                Tok::Op("<") => open += 1,
                Tok::Op(">") => open -= 1,
                Tok::Op(">>") => open -= 2,
                Tok::Op(">>>") => open -= 3,
                Tok::Op("," | "." | "?" | "[" | "]" | "&") | Tok::Word(_) => {}
                _ => {
                    self.pos = start;
                    return false;
                }
            }
            self.advance();
            if open <= 0 {
                return open == 0;
            }
        }
    }

    fn module(&mut self) -> Parsed<Module> {
        let mut module = Module::default();
        while !matches!(self.peek(), Tok::End) {
            if self.eat(";") {
                continue;
            }
            let annotations = self.annotations()?;
            if self.is_word("package") && !self.is_at(1, "=") {
                self.advance();
                module.package = self.dotted()?;
            } else if self.is_word("import") && !self.is_at(1, "=") {
                self.advance();
                let import = self.import()?;
                module.imports.push(import);
            } else if let Some(class) = self.class(&annotations)? {
                module.classes.push(class);
            } else if let Some(method) = self.method(false)? {
                module.methods.push(method);
            } else {
                let statement = self.statement()?;
                match statement.kind {
                    StmtKind::Class(class) => module.classes.push(class),
                    StmtKind::Method(method) => module.methods.push(method),
                    _ => module.body.push(statement),
                }
            }
        }
        Ok(module)
    }

    fn dotted(&mut self) -> Parsed<String> {
        let mut path = self.expect_name()?.to_string();
        while self.is(".") && matches!(self.peek_at(1), Tok::Word(_)) {
            self.advance();
            path.push('.');
            path.push_str(&self.expect_name()?);
        }
        Ok(path)
    }

    fn import(&mut self) -> Parsed<Import> {
        let is_static = self.eat_word("static");
        let path = self.dotted()?;
        let mut import = Import {
            path,
            is_static,
            star: false,
            alias: None,
        };
        if self.is(".") && self.is_at(1, "*") {
            self.advance();
            self.advance();
            import.star = true;
        }
        if self.eat_word("as") {
            import.alias = Some(self.expect_name()?.to_string());
        }
        Ok(import)
    }

    /// `@A(…) @B`; their names.
    pub(super) fn annotations(&mut self) -> Parsed<Vec<Name>> {
        let mut names = Vec::new();
        while self.is("@") && matches!(self.peek_at(1), Tok::Word(word) if &**word != "interface") {
            self.advance();
            let name = self.dotted()?;
            names.push(name.rsplit('.').next().unwrap_or_default().into());
            if self.is("(") && !self.spaced() {
                self.skip_parentheses()?;
            }
        }
        Ok(names)
    }

    pub(super) fn skip_parentheses(&mut self) -> Parsed<()> {
        let start = self.at();
        let mut open = 0usize;
        loop {
            match self.peek() {
                Tok::Op("(" | "[" | "{") => open += 1,
                Tok::Op(")" | "]" | "}") => open = open.saturating_sub(1),
                Tok::End => return self.fail(start, "a parenthesis that opens here is not closed"),
                _ => {}
            }
            self.advance();
            if open == 0 {
                return Ok(());
            }
        }
    }
}
