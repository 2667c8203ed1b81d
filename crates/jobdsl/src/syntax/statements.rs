//! Statements, commands without parentheses, and lines that are no Groovy.

use super::ast::{Args, Block, Case, Catch, Expr, ExprKind, ForHead, Name, Stmt, StmtKind, TypeName};
use super::expressions::{is_primitive, looks_like_type};
use super::lexer::Tok;
use super::parser::{Parsed, Parser};

impl Parser<'_> {
    /// Statements up to and including the closing brace of a block that opened at `open`.
    pub(super) fn statements(&mut self, open: u32) -> Parsed<Block> {
        let mut out = Vec::new();
        loop {
            while self.eat(";") {}
            if self.eat("}") {
                return Ok(out);
            }
            if matches!(self.peek(), Tok::End) {
                return self.fail(open, "a brace that opens here is not closed");
            }
            out.push(self.statement_or_command()?);
        }
    }

    fn statement_or_command(&mut self) -> Parsed<Stmt> {
        if !self.shell {
            return self.statement();
        }
        let (start, at) = (self.pos, self.at());
        let read = self.statement();
        match read {
            Ok(Stmt {
                at,
                end,
                kind: StmtKind::Expr(expr),
            }) if is_bare(&expr) && self.pos > start => {
                let (line, _) = self.line(at);
                Ok(Stmt {
                    at,
                    end,
                    kind: StmtKind::MaybeShell(expr, line),
                })
            }
            Ok(statement) => Ok(statement),
            Err(error) => {
                // A line that begins like a call with a block is meant as Groovy: its error is the one to show.
                let (line, end) = self.line(at);
                if error.at > end || line.trim().is_empty() {
                    return Err(error);
                }
                self.pos = start;
                while self
                    .token_at(self.pos)
                    .is_some_and(|token| token.at < end && !matches!(token.kind, Tok::End))
                {
                    self.advance();
                }
                Ok(Stmt {
                    at,
                    end,
                    kind: StmtKind::Shell(line),
                })
            }
        }
    }

    /// The source from `at` to the end of the line (lines that end with a backslash go on), and where it ends.
    fn line(&self, at: u32) -> (Name, u32) {
        let start = usize::try_from(at).unwrap_or_default();
        let rest = self.source.get(start..).unwrap_or_default();
        let mut end = 0;
        loop {
            let line = rest.get(end..).unwrap_or_default();
            let len = line.find('\n').unwrap_or(line.len());
            let text = line.get(..len).unwrap_or_default().trim_end();
            if text.ends_with('\\') && len < line.len() {
                end += len + 1;
            } else {
                end += len;
                break;
            }
        }
        let mut text = rest.get(..end).unwrap_or_default().trim_end();
        // The block's own closing braces may stand on the line.
        while text.ends_with('}') && text.matches('}').count() > text.matches('{').count() {
            text = text.strip_suffix('}').unwrap_or(text).trim_end();
        }
        (text.into(), at + super::lexer::offset(text.len()))
    }

    pub(super) fn statement(&mut self) -> Parsed<Stmt> {
        let at = self.at();
        let kind = self.nested(Self::statement_kind)?;
        let needs_end = matches!(
            kind,
            StmtKind::Expr(_)
                | StmtKind::Declare { .. }
                | StmtKind::AssignAll { .. }
                | StmtKind::Group(_)
                | StmtKind::Return(_)
                | StmtKind::Throw(_)
                | StmtKind::Assert { .. }
        );
        if needs_end && !self.breaks() && !matches!(self.peek(), Tok::Op(";" | "}") | Tok::End) {
            return self.unexpected("the end of the statement");
        }
        let end = self.ended();
        self.eat(";");
        Ok(Stmt { at, end, kind })
    }

    fn statement_kind(&mut self) -> Parsed<StmtKind> {
        let annotations = self.annotations()?;
        if let Some(class) = self.class(&annotations)? {
            return Ok(StmtKind::Class(class));
        }
        let Some(word) = self.word() else {
            if self.is("{") {
                // A block, or a closure that nobody takes.
                let open = self.at();
                self.advance();
                let shell = self.shell;
                return self
                    .in_braces(shell, |parser| parser.statements(open))
                    .map(StmtKind::Block);
            }
            if self.is("(")
                && let Some(names) = self.attempt(Self::targets)
            {
                let value = self.command_expression()?;
                return Ok(StmtKind::AssignAll { names, value });
            }
            return self.command_expression().map(StmtKind::Expr);
        };
        let call = self.is_at(1, "(");
        let property = self.is_at(1, ".") || self.is_at(1, "=") || self.is_at(1, ":");
        match &*word {
            "if" if call => self.if_statement(),
            "while" if call => {
                self.advance();
                let test = self.condition()?;
                let body = self.body()?;
                Ok(StmtKind::While {
                    test,
                    body,
                    first: false,
                })
            }
            "do" if self.is_at(1, "{") => {
                self.advance();
                let body = self.body()?;
                if !self.eat_word("while") {
                    return self.unexpected("`while`");
                }
                let test = self.condition()?;
                Ok(StmtKind::While {
                    test,
                    body,
                    first: true,
                })
            }
            "for" if call => self.for_statement(),
            "return" if !property => {
                self.advance();
                let ends = self.breaks() || matches!(self.peek(), Tok::Op(";" | "}") | Tok::End);
                let value = if ends {
                    None
                } else {
                    Some(self.command_expression()?)
                };
                Ok(StmtKind::Return(value))
            }
            "break" | "continue" if !property && !call => {
                self.advance();
                if !self.breaks() && matches!(self.peek(), Tok::Word(_)) {
                    self.advance();
                }
                Ok(if &*word == "break" {
                    StmtKind::Break
                } else {
                    StmtKind::Continue
                })
            }
            "throw" if !property => {
                self.advance();
                self.expression().map(StmtKind::Throw)
            }
            "assert" if !property => self.assert_statement(),
            "try" if self.is_at(1, "{") => self.try_statement(),
            "switch" if call => self.switch_statement(),
            _ => {
                if let Some(method) = self.method(false)? {
                    return Ok(StmtKind::Method(method));
                }
                if let Some(declared) = self.declaration()? {
                    return Ok(declared);
                }
                if self.is_at(1, ":") {
                    // A label.
                    self.advance();
                    self.advance();
                    if self.is("}") {
                        return Ok(StmtKind::Block(Vec::new()));
                    }
                    return self.nested(Self::statement_kind);
                }
                self.command_expression().map(StmtKind::Expr)
            }
        }
    }

    /// A block, or one statement.
    fn body(&mut self) -> Parsed<Block> {
        let open = self.at();
        if self.eat("{") {
            let shell = self.shell;
            return self.in_braces(shell, |parser| parser.statements(open));
        }
        if self.eat(";") {
            return Ok(Vec::new());
        }
        Ok(vec![self.statement()?])
    }

    /// `( test )`.
    fn condition(&mut self) -> Parsed<Expr> {
        self.expect("(")?;
        let test = self.enclosed(Self::expression)?;
        self.expect(")")?;
        Ok(test)
    }

    fn if_statement(&mut self) -> Parsed<StmtKind> {
        self.advance();
        let test = self.condition()?;
        let then = self.body()?;
        let semicolon = self.is(";") && matches!(self.peek_at(1), Tok::Word(word) if &**word == "else");
        if semicolon {
            self.advance();
        }
        let or = if self.eat_word("else") {
            self.body()?
        } else {
            Vec::new()
        };
        Ok(StmtKind::If { test, then, or })
    }

    fn for_statement(&mut self) -> Parsed<StmtKind> {
        self.advance();
        self.expect("(")?;
        let head = self.attempt(|parser| parser.enclosed(|parser| Ok(parser.for_in())).ok().flatten());
        let head = match head {
            Some(name) => {
                let values = self.enclosed(Self::expression)?;
                ForHead::In { name, values }
            }
            None => {
                let mut init = Vec::new();
                if !self.is(";") {
                    let at = self.at();
                    let kind = self.enclosed(|parser| match parser.declaration()? {
                        Some(declared) => Ok(declared),
                        None => parser.expression().map(StmtKind::Expr),
                    })?;
                    init.push(Stmt {
                        at,
                        end: self.ended(),
                        kind,
                    });
                }
                self.expect(";")?;
                let test = if self.is(";") {
                    None
                } else {
                    Some(self.enclosed(Self::expression)?)
                };
                self.expect(";")?;
                let mut step = Vec::new();
                while !self.is(")") {
                    step.push(self.enclosed(Self::expression)?);
                    if !self.eat(",") {
                        break;
                    }
                }
                ForHead::Classic { init, test, step }
            }
        };
        self.expect(")")?;
        let body = self.body()?;
        Ok(StmtKind::For { head, body })
    }

    /// `[Type] name in` or `[Type] name :`.
    fn for_in(&mut self) -> Option<Name> {
        self.eat_word("final");
        if self.is_word("def") {
            self.advance();
        } else if !(self.is_at(1, ":") || matches!(self.peek_at(1), Tok::Word(word) if &**word == "in")) {
            self.type_name()?;
        }
        let name = self.word()?;
        self.advance();
        (self.eat_word("in") || self.eat(":")).then_some(name)
    }

    fn assert_statement(&mut self) -> Parsed<StmtKind> {
        self.advance();
        let start = self.at();
        let test = self.expression()?;
        let range =
            usize::try_from(start).unwrap_or_default()..usize::try_from(self.ended()).unwrap_or_default();
        let text = self.source.get(range).unwrap_or_default().into();
        let message = if self.eat(":") || self.eat(",") {
            Some(self.expression()?)
        } else {
            None
        };
        Ok(StmtKind::Assert { test, message, text })
    }

    fn try_statement(&mut self) -> Parsed<StmtKind> {
        self.advance();
        let body = self.body()?;
        let mut catches = Vec::new();
        while self.is_word("catch") && self.is_at(1, "(") {
            self.advance();
            self.advance();
            self.eat_word("final");
            let mut types = Vec::new();
            let typed = !self.is_at(1, ")");
            if typed {
                loop {
                    let Some(kind) = self.type_name() else {
                        return self.unexpected("an exception's type");
                    };
                    types.push(kind);
                    if !self.eat("|") {
                        break;
                    }
                }
            }
            let name = self.expect_name()?;
            self.expect(")")?;
            let body = self.body()?;
            catches.push(Catch { types, name, body });
        }
        let finally = if self.eat_word("finally") {
            self.body()?
        } else {
            Vec::new()
        };
        Ok(StmtKind::Try {
            body,
            catches,
            finally,
        })
    }

    fn switch_statement(&mut self) -> Parsed<StmtKind> {
        self.advance();
        let value = self.condition()?;
        let open = self.at();
        self.expect("{")?;
        let shell = self.shell;
        let cases = self.in_braces(shell, |parser| {
            let mut cases: Vec<Case> = Vec::new();
            loop {
                while parser.eat(";") {}
                if parser.eat("}") {
                    return Ok(cases);
                }
                if parser.eat_word("case") {
                    let value = Some(parser.expression()?);
                    parser.expect(":")?;
                    cases.push(Case {
                        value,
                        body: Vec::new(),
                    });
                } else if parser.is_word("default") && parser.is_at(1, ":") {
                    parser.advance();
                    parser.advance();
                    cases.push(Case {
                        value: None,
                        body: Vec::new(),
                    });
                } else if matches!(parser.peek(), Tok::End) {
                    return parser.fail(open, "a brace that opens here is not closed");
                } else {
                    let statement = parser.statement_or_command()?;
                    match cases.last_mut() {
                        Some(case) => case.body.push(statement),
                        None => return parser.fail(statement.at, "`case` is expected here"),
                    }
                }
            }
        })?;
        Ok(StmtKind::Switch { value, cases })
    }

    /// `def a = 1`, `final String a`, `def (a, b) = list`.
    pub(super) fn declaration(&mut self) -> Parsed<Option<StmtKind>> {
        let start = self.pos;
        let mut modifiers = false;
        while let Some(word) = self.word() {
            if matches!(
                &*word,
                "final" | "static" | "private" | "public" | "protected" | "transient" | "volatile"
            ) && matches!(self.peek_at(1), Tok::Word(_))
            {
                self.advance();
                modifiers = true;
                self.annotations()?;
            } else {
                break;
            }
        }
        let mut kind = None;
        if self.is_word("def") || self.is_word("var") && matches!(self.peek_at(1), Tok::Word(_)) {
            if self.is_at(1, "(") {
                self.advance();
                return self.several().map(Some);
            }
            if matches!(self.peek_at(1), Tok::Word(_) | Tok::Op("@")) {
                self.advance();
                modifiers = true;
                self.annotations()?;
            }
        }
        // A type before the name; with `def` or a modifier there need not be one.
        let typed = self.attempt(|parser| {
            let kind = parser.type_name()?;
            let name = parser.word()?;
            let fits = (looks_like_type(&kind.name) || modifiers || is_primitive(&kind.name))
                && !parser.breaks()
                && !matches!(&*name, "in" | "as" | "instanceof");
            let after = match parser.peek_at(1) {
                Tok::Op(op) => matches!(*op, "=" | ";" | "," | "}" | ")"),
                Tok::End => true,
                _ => parser.token_at(parser.pos + 1).is_some_and(|token| token.newline),
            };
            let after = after || parser.token_at(parser.pos + 1).is_some_and(|token| token.newline);
            (fits && after).then_some(kind)
        });
        match typed {
            Some(found) => kind = Some(found).filter(|kind: &TypeName| &*kind.name != "def"),
            None if modifiers && self.word().is_some() => {}
            None => {
                self.pos = start;
                return Ok(None);
            }
        }
        let names = vec![(self.expect_name()?, kind.clone())];
        let mut value = None;
        if self.eat("=") {
            value = Some(self.command_expression()?);
        }
        let mut group = vec![StmtKind::Declare {
            names,
            several: false,
            value,
        }];
        while self.eat(",") {
            let names = vec![(self.expect_name()?, kind.clone())];
            let value = if self.eat("=") {
                Some(self.command_expression()?)
            } else {
                None
            };
            group.push(StmtKind::Declare {
                names,
                several: false,
                value,
            });
        }
        Ok(if group.len() == 1 {
            group.pop()
        } else {
            Some(StmtKind::Group(group))
        })
    }

    /// `(a, b) =`, as far as it goes before the value.
    fn targets(&mut self) -> Option<Vec<Expr>> {
        self.eat("(");
        let mut names = Vec::new();
        loop {
            let at = self.at();
            let kind = ExprKind::Variable(self.word()?);
            self.advance();
            names.push(Expr { at, kind });
            if !self.eat(",") {
                break;
            }
        }
        (names.len() > 1 && self.eat(")") && self.eat("=")).then_some(names)
    }

    fn several(&mut self) -> Parsed<StmtKind> {
        self.expect("(")?;
        let names = self.enclosed(|parser| {
            let mut names = Vec::new();
            while !parser.is(")") {
                let kind = if matches!(parser.peek_at(1), Tok::Word(_)) {
                    parser.type_name()
                } else {
                    None
                };
                names.push((parser.expect_name()?, kind));
                if !parser.eat(",") {
                    break;
                }
            }
            Ok(names)
        })?;
        self.expect(")")?;
        self.expect("=")?;
        let value = Some(self.command_expression()?);
        Ok(StmtKind::Declare {
            names,
            several: true,
            value,
        })
    }

    /// An expression, or a call without parentheses: `a b, c`, `a b c d` is `a(b).c(d)`.
    pub(super) fn command_expression(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let mut value = parser.expression()?;
            let mut links = 0;
            loop {
                parser.link(&mut links)?;
                if parser.breaks() || !parser.begins_argument(&value) {
                    return Ok(value);
                }
                let at = value.at;
                value = match value.kind {
                    ExprKind::Variable(name) => {
                        let shell = &*name == "steps";
                        let args = parser.command_arguments(shell)?;
                        command(
                            at,
                            None,
                            Expr {
                                at,
                                kind: ExprKind::Text(name),
                            },
                            args,
                        )
                    }
                    ExprKind::Property {
                        of,
                        name,
                        safe: false,
                        spread: false,
                    } => {
                        let args = parser.command_arguments(false)?;
                        command(at, Some(of), *name, args)
                    }
                    kind @ (ExprKind::Text(_) | ExprKind::GText(_)) => {
                        let args = parser.command_arguments(false)?;
                        command(at, None, Expr { at, kind }, args)
                    }
                    // What follows the arguments of a command is a call on its result.
                    kind @ ExprKind::Call { .. } => {
                        let of = Box::new(Expr { at, kind });
                        let name_at = parser.at();
                        let name = parser.expect_name()?;
                        let name = Expr {
                            at: name_at,
                            kind: ExprKind::Text(name),
                        };
                        if parser.breaks()
                            || matches!(parser.peek(), Tok::Op(";" | "}" | ")" | "," | "]") | Tok::End)
                        {
                            Expr {
                                at,
                                kind: ExprKind::Property {
                                    of,
                                    name: Box::new(name),
                                    safe: false,
                                    spread: false,
                                },
                            }
                        } else if parser.is("(") || parser.is("{") {
                            let args = if parser.is("(") {
                                parser.arguments()?
                            } else {
                                Args::default()
                            };
                            let mut call = command(at, Some(of), name, args);
                            while parser.is("{") && !parser.breaks() {
                                let closure = parser.closure(false)?;
                                if let ExprKind::Call { args, .. } = &mut call.kind {
                                    args.plain.push(super::ast::Arg::Plain(closure));
                                }
                            }
                            call
                        } else {
                            let args = parser.command_arguments(false)?;
                            command(at, Some(of), name, args)
                        }
                    }
                    kind => return Ok(Expr { at, kind }),
                };
                // A command may be assigned or tested no further.
            }
        })
    }

    /// Whether the next token can be the first argument of a call without parentheses.
    fn begins_argument(&self, value: &Expr) -> bool {
        let callable = match &value.kind {
            ExprKind::Variable(name) => !is_primitive(name),
            ExprKind::Property {
                safe: false,
                spread: false,
                ..
            } => true,
            // `'name' 'value'` is a call as well.
            ExprKind::Text(_) | ExprKind::GText(_) => !matches!(self.peek(), Tok::Op(_)),
            // `a { } b { }` goes on with the result too.
            ExprKind::Call { command, args, .. } => {
                let blocks = matches!(
                    args.plain.last(),
                    Some(super::ast::Arg::Plain(Expr {
                        kind: ExprKind::Closure(_),
                        ..
                    }))
                );
                matches!(self.peek(), Tok::Word(_)) && (*command || blocks && self.is_at(1, "{"))
            }
            _ => false,
        };
        if !callable {
            return false;
        }
        match self.peek() {
            Tok::Word(word) => !matches!(
                &**word,
                "in" | "as" | "instanceof" | "else" | "catch" | "finally" | "while"
            ),
            Tok::Int(_) | Tok::Decimal(_) | Tok::Text(_) | Tok::GText(_) => true,
            Tok::Op("[") => self.spaced(),
            Tok::Op("!" | "~") => self.spaced() && !self.is_at(1, "="),
            Tok::Op("-") => {
                // `a -1` is a difference; `a -b` too.
                false
            }
            Tok::Op("*") => false,
            _ => false,
        }
    }

    fn command_arguments(&mut self, shell: bool) -> Parsed<Args> {
        let mut args = Args::default();
        loop {
            if shell && self.is("{") {
                let closure = self.closure(true)?;
                args.plain.push(super::ast::Arg::Plain(closure));
            } else {
                self.argument(&mut args)?;
            }
            // A comma may end the line.
            if !self.is(",") {
                break;
            }
            self.advance();
        }
        Ok(args)
    }
}

fn command(at: u32, of: Option<Box<Expr>>, name: Expr, args: Args) -> Expr {
    Expr {
        at,
        kind: ExprKind::Call {
            of,
            name: Box::new(name),
            args,
            safe: false,
            spread: false,
            command: true,
        },
    }
}

/// Whether an expression could as well be a command line: a lone name, or calls without parentheses and closures.
fn is_bare(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Variable(_) => true,
        ExprKind::Call {
            of, args, command, ..
        } => {
            *command
                && args.named.is_empty()
                && !args.plain.iter().any(|arg| {
                    let (super::ast::Arg::Plain(value) | super::ast::Arg::Spread(value)) = arg;
                    matches!(value.kind, ExprKind::Closure(_))
                        || matches!(&value.kind, ExprKind::Call { args, .. } if args.plain.iter().any(|arg| {
                            let (super::ast::Arg::Plain(value) | super::ast::Arg::Spread(value)) = arg;
                            matches!(value.kind, ExprKind::Closure(_))
                        }))
                })
                && of
                    .as_ref()
                    .is_none_or(|of| is_bare(of) || !matches!(of.kind, ExprKind::Call { .. }))
        }
        ExprKind::Property { of, .. } => is_bare(of),
        ExprKind::Binary(_, left, _) | ExprKind::And(left, _) | ExprKind::Or(left, _) => is_bare(left),
        _ => false,
    }
}
