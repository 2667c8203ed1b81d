//! Values and what may follow them: properties, indexes, calls, closures.

use super::ast::{Arg, Args, ClosureDef, Expr, ExprKind, Key, Name, Param, Part};
use super::lexer::{Piece, Tok};
use super::parser::{Parsed, Parser};
use std::rc::Rc;

fn expr(at: u32, kind: ExprKind) -> Expr {
    Expr { at, kind }
}

fn text(at: u32, name: Name) -> Box<Expr> {
    Box::new(expr(at, ExprKind::Text(name)))
}

impl Parser<'_> {
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let mut value = self.primary()?;
        let mut links = 0;
        loop {
            self.link(&mut links)?;
            let at = self.at();
            // A dot may begin the next line.
            match self.peek() {
                Tok::Op(op @ ("." | "?." | "*." | ".@")) => {
                    let (safe, spread) = (*op == "?.", *op == "*.");
                    let attribute = *op == ".@";
                    self.advance();
                    let attribute = self.eat("@") || attribute;
                    value = self.member(value, safe, spread)?;
                    if attribute
                        && let ExprKind::Property { name, .. } = &mut value.kind
                        && let ExprKind::Text(text) = &mut name.kind
                    {
                        *text = format!("@{text}").into();
                    }
                    continue;
                }
                Tok::Op(".&" | "::") => {
                    self.advance();
                    let name = text(self.at(), self.expect_name()?);
                    let of = Box::new(value);
                    value = expr(at, ExprKind::MethodRef { of, name });
                    continue;
                }
                _ => {}
            }
            if self.breaks() {
                return Ok(value);
            }
            match self.peek() {
                Tok::Op("(") if !self.spaced() || !matches!(value.kind, ExprKind::Closure(_)) => {
                    if self.spaced()
                        && self.enclosed
                        && !matches!(value.kind, ExprKind::Variable(_) | ExprKind::Property { .. })
                    {
                        return Ok(value);
                    }
                    value = self.call(value)?;
                }
                Tok::Op("[") if !self.spaced() => {
                    self.advance();
                    let index = self.enclosed(|parser| parser.list_items("]"))?;
                    let index = match <[Arg; 1]>::try_from(index) {
                        Ok([Arg::Plain(one)]) => one,
                        Ok(several) => expr(at, ExprKind::List(several.into())),
                        Err(several) => expr(at, ExprKind::List(several)),
                    };
                    value = expr(
                        at,
                        ExprKind::Index {
                            of: Box::new(value),
                            index: Box::new(index),
                            safe: false,
                        },
                    );
                }
                Tok::Op("?") if self.is_at(1, "[") && !self.spaced() => {
                    self.advance();
                    self.advance();
                    let index = self.enclosed(Self::expression)?;
                    self.expect("]")?;
                    value = expr(
                        at,
                        ExprKind::Index {
                            of: Box::new(value),
                            index: Box::new(index),
                            safe: true,
                        },
                    );
                }
                Tok::Op("{") if !self.no_closure => match value.kind {
                    ExprKind::Variable(name) => {
                        let shell = &*name == "steps";
                        let closure = self.closure(shell)?;
                        value = expr(
                            value.at,
                            ExprKind::Call {
                                of: None,
                                name: text(value.at, name),
                                args: one(closure),
                                safe: false,
                                spread: false,
                                command: false,
                            },
                        );
                    }
                    ExprKind::Property {
                        of,
                        name,
                        safe,
                        spread,
                    } => {
                        let closure = self.closure(is_steps(&name))?;
                        value = expr(
                            value.at,
                            ExprKind::Call {
                                of: Some(of),
                                name,
                                args: one(closure),
                                safe,
                                spread,
                                command: false,
                            },
                        );
                    }
                    ExprKind::Text(_) | ExprKind::GText(_) => {
                        // `'name' { … }` builds a node of that name.
                        let closure = self.closure(false)?;
                        let at = value.at;
                        value = expr(
                            at,
                            ExprKind::Call {
                                of: None,
                                name: Box::new(value),
                                args: one(closure),
                                safe: false,
                                spread: false,
                                command: false,
                            },
                        );
                    }
                    // `and { … } { … }`: another closure for the same call.
                    ExprKind::Call {
                        of,
                        name,
                        mut args,
                        safe,
                        spread,
                        command: false,
                    } if matches!(
                        args.plain.last(),
                        Some(Arg::Plain(Expr {
                            kind: ExprKind::Closure(_),
                            ..
                        }))
                    ) =>
                    {
                        let closure = self.closure(false)?;
                        args.plain.push(Arg::Plain(closure));
                        value = expr(
                            value.at,
                            ExprKind::Call {
                                of,
                                name,
                                args,
                                safe,
                                spread,
                                command: false,
                            },
                        );
                    }
                    _ => return Ok(value),
                },
                Tok::Op(step @ ("++" | "--")) => {
                    let by = if *step == "++" { 1 } else { -1 };
                    self.advance();
                    value = expr(
                        at,
                        ExprKind::Step {
                            target: Box::new(value),
                            by,
                            before: false,
                        },
                    );
                }
                _ => return Ok(value),
            }
        }
    }

    /// What stands after a dot.
    fn member(&mut self, of: Expr, safe: bool, spread: bool) -> Parsed<Expr> {
        let at = self.at();
        let name = match self.peek().clone() {
            Tok::Word(word) => {
                self.advance();
                expr(at, ExprKind::Text(word))
            }
            Tok::Text(word) => {
                self.advance();
                expr(at, ExprKind::Text(word))
            }
            Tok::GText(pieces) => {
                self.advance();
                self.interpolated(at, &pieces)?
            }
            Tok::Op("(") => {
                self.advance();
                let name = self.enclosed(Self::expression)?;
                self.expect(")")?;
                name
            }
            Tok::Op("<") => {
                // `.<T>method()`.
                if self.type_name_arguments() {
                    return self.member(of, safe, spread);
                }
                return self.unexpected("a name");
            }
            _ => return self.unexpected("a name"),
        };
        Ok(expr(
            at,
            ExprKind::Property {
                of: Box::new(of),
                name: Box::new(name),
                safe,
                spread,
            },
        ))
    }

    fn type_name_arguments(&mut self) -> bool {
        while !self.is(">") {
            if matches!(self.peek(), Tok::End) {
                return false;
            }
            self.advance();
        }
        self.advance();
        true
    }

    /// `value(…)` with closures after it.
    fn call(&mut self, value: Expr) -> Parsed<Expr> {
        let at = value.at;
        let mut args = self.arguments()?;
        let shell = match &value.kind {
            ExprKind::Variable(name) => &**name == "steps",
            ExprKind::Property { name, .. } => is_steps(name),
            _ => false,
        };
        while self.is("{") && !self.breaks() && !self.no_closure {
            let closure = self.closure(shell)?;
            args.plain.push(Arg::Plain(closure));
        }
        let kind = match value.kind {
            ExprKind::Variable(name) => ExprKind::Call {
                of: None,
                name: text(at, name),
                args,
                safe: false,
                spread: false,
                command: false,
            },
            ExprKind::Property {
                of,
                name,
                safe,
                spread,
            } => ExprKind::Call {
                of: Some(of),
                name,
                args,
                safe,
                spread,
                command: false,
            },
            // `'name'(…)` builds a node of that name.
            kind @ (ExprKind::Text(_) | ExprKind::GText(_)) => ExprKind::Call {
                of: None,
                name: Box::new(expr(at, kind)),
                args,
                safe: false,
                spread: false,
                command: false,
            },
            kind @ (ExprKind::This | ExprKind::Super) => ExprKind::Call {
                of: Some(Box::new(expr(at, kind))),
                name: text(at, "<init>".into()),
                args,
                safe: false,
                spread: false,
                command: false,
            },
            kind => ExprKind::CallValue {
                of: Box::new(expr(at, kind)),
                args,
            },
        };
        Ok(expr(at, kind))
    }

    /// `( … )`.
    pub(super) fn arguments(&mut self) -> Parsed<Args> {
        self.expect("(")?;
        let no_closure = std::mem::replace(&mut self.no_closure, false);
        let result = self.enclosed(|parser| {
            let mut args = Args::default();
            while !parser.is(")") {
                parser.argument(&mut args)?;
                if !parser.eat(",") {
                    break;
                }
                // An argument left out between commas is none.
                while parser.eat(",") {}
            }
            Ok(args)
        });
        self.no_closure = no_closure;
        let args = result?;
        self.expect(")")?;
        Ok(args)
    }

    /// One argument, plain or named.
    pub(super) fn argument(&mut self, args: &mut Args) -> Parsed<()> {
        if self.is("*") && self.is_at(1, ":") {
            self.advance();
            self.advance();
            let map = self.expression()?;
            args.named.push((Key::Spread, map));
            return Ok(());
        }
        if self.eat("*") {
            let list = self.expression()?;
            args.plain.push(Arg::Spread(list));
            return Ok(());
        }
        if let Some(key) = self.key()? {
            let value = self.expression()?;
            args.named.push((key, value));
            return Ok(());
        }
        let value = self.expression()?;
        args.plain.push(Arg::Plain(value));
        Ok(())
    }

    /// `name:`, `'text':`, `(value):`.
    fn key(&mut self) -> Parsed<Option<Key>> {
        let at = self.at();
        if !self.is_at(1, ":") {
            if self.is("(") {
                let start = self.pos;
                self.skip_parentheses()?;
                let is_key = self.is(":");
                self.pos = start;
                if is_key {
                    self.advance();
                    let value = self.enclosed(Self::expression)?;
                    self.expect(")")?;
                    self.expect(":")?;
                    return Ok(Some(Key::Value(value)));
                }
            }
            return Ok(None);
        }
        let key = match self.peek().clone() {
            Tok::Word(word) => Key::Name(word),
            Tok::Text(word) => Key::Name(word),
            Tok::Int(value) => Key::Value(expr(at, ExprKind::Int(value))),
            Tok::Decimal(value) => Key::Value(expr(at, ExprKind::Decimal(value))),
            Tok::GText(pieces) => Key::Value(self.interpolated(at, &pieces)?),
            _ => return Ok(None),
        };
        self.advance();
        self.advance();
        Ok(Some(key))
    }

    fn list_items(&mut self, close: &str) -> Parsed<Vec<Arg>> {
        let mut items = Vec::new();
        while !self.is(close) {
            if self.eat("*") {
                items.push(Arg::Spread(self.expression()?));
            } else {
                items.push(Arg::Plain(self.expression()?));
            }
            if !self.eat(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(items)
    }

    fn list_or_map(&mut self, at: u32) -> Parsed<Expr> {
        self.expect("[")?;
        if self.is(":") && self.is_at(1, "]") {
            self.advance();
            self.advance();
            return Ok(expr(at, ExprKind::Map(Vec::new())));
        }
        let mut args = Args::default();
        while !self.is("]") {
            self.argument(&mut args)?;
            if !self.eat(",") {
                break;
            }
        }
        self.expect("]")?;
        if args.named.is_empty() {
            return Ok(expr(at, ExprKind::List(args.plain)));
        }
        if !args.plain.is_empty() {
            return self.fail(at, "list items and map entries are mixed");
        }
        Ok(expr(at, ExprKind::Map(args.named)))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let kind = match self.peek().clone() {
            Tok::Int(value) => ExprKind::Int(value),
            Tok::Decimal(value) => ExprKind::Decimal(value),
            Tok::Text(value) => ExprKind::Text(value),
            Tok::GText(pieces) => {
                self.advance();
                return self.interpolated(at, &pieces);
            }
            Tok::Op("(") => {
                self.advance();
                let no_closure = std::mem::replace(&mut self.no_closure, false);
                let value = self.enclosed(Self::command_expression);
                self.no_closure = no_closure;
                let value = value?;
                self.expect(")")?;
                return Ok(match value.kind {
                    // A name in parentheses is a value, not the name of a call.
                    ExprKind::Variable(_) => expr(
                        at,
                        ExprKind::Ternary(
                            Box::new(expr(at, ExprKind::Bool(true))),
                            Box::new(value),
                            Box::new(expr(at, ExprKind::Null)),
                        ),
                    ),
                    kind => expr(at, kind),
                });
            }
            Tok::Op("[") => {
                let no_closure = std::mem::replace(&mut self.no_closure, false);
                let list = self.enclosed(|parser| parser.list_or_map(at));
                self.no_closure = no_closure;
                return list;
            }
            Tok::Op("{") => return self.closure(false),
            Tok::Op("@") => {
                if self.annotations()?.is_empty() {
                    return self.unexpected("a value");
                }
                return self.primary();
            }
            Tok::Word(word) => match &*word {
                "null" => ExprKind::Null,
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                "this" => ExprKind::This,
                "super" => ExprKind::Super,
                "new" if !self.is_at(1, ".") => {
                    self.advance();
                    return self.creation(at);
                }
                "if" | "else" | "for" | "while" | "return" | "switch" | "case" | "try" | "catch"
                | "finally" | "throw" | "class" | "import" | "package" | "instanceof"
                    if !self.is_at(1, "(")
                        || matches!(&*word, "if" | "while" | "for" | "switch" | "catch") =>
                {
                    return self.unexpected("a value");
                }
                _ => ExprKind::Variable(word),
            },
            _ => return self.unexpected("a value"),
        };
        self.advance();
        Ok(expr(at, kind))
    }

    /// After `new`.
    fn creation(&mut self, at: u32) -> Parsed<Expr> {
        self.annotations()?;
        let Some(class) = self.type_name() else {
            return self.unexpected("a class");
        };
        if self.is("[") {
            // `new String[3]`, `new String[] {…}`.
            self.advance();
            let size = self.enclosed(Self::expression)?;
            self.expect("]")?;
            return Ok(expr(
                at,
                ExprKind::New {
                    class: super::ast::TypeName {
                        name: class.name,
                        array: true,
                    },
                    args: one(size),
                    body: None,
                },
            ));
        }
        if class.array && self.eat("{") {
            let items = self.enclosed(|parser| parser.list_items("}"))?;
            return Ok(expr(at, ExprKind::List(items)));
        }
        let args = if self.is("(") {
            self.arguments()?
        } else {
            Args::default()
        };
        let mut body = None;
        if self.is("{") && !self.breaks() && !self.no_closure && self.is_class_body() {
            body = Some(self.anonymous(&class)?);
        }
        Ok(expr(at, ExprKind::New { class, args, body }))
    }

    fn is_class_body(&self) -> bool {
        matches!(
            self.peek_at(1),
            Tok::Op("@") | Tok::Word(_) if !self.is_at(2, "->") && !self.is_at(2, ",")
        )
    }

    /// `{ a, b -> … }`.
    pub(super) fn closure(&mut self, shell: bool) -> Parsed<Expr> {
        let at = self.at();
        self.expect("{")?;
        let no_closure = std::mem::replace(&mut self.no_closure, false);
        let result = self.in_braces(shell, |parser| {
            let params = parser.attempt(Self::closure_params);
            let body = parser.statements(at)?;
            Ok(ClosureDef { params, body })
        });
        self.no_closure = no_closure;
        Ok(expr(at, ExprKind::Closure(Rc::new(result?))))
    }

    /// `a, b = 1 ->`, or just `->`.
    fn closure_params(&mut self) -> Option<Vec<Param>> {
        if self.eat("->") {
            return Some(Vec::new());
        }
        let params = self.enclosed(|parser| parser.params("->")).ok()?;
        self.eat("->").then_some(params)
    }

    /// Parameters up to, not including, `close`.
    pub(super) fn params(&mut self, close: &str) -> Parsed<Vec<Param>> {
        let mut params = Vec::new();
        while !self.is(close) {
            self.annotations()?;
            while self.eat_word("final")
                || (self.is_word("def") && matches!(self.peek_at(1), Tok::Word(_)) && self.eat_word("def"))
            {
            }
            let mut kind = None;
            if matches!(self.peek_at(1), Tok::Op("," | "=" | "->" | ")" | "...")) && !self.is_at(1, "...") {
                // Only a name.
            } else {
                kind = self.attempt(|parser| {
                    let kind = parser.type_name()?;
                    (parser.is("...") || matches!(parser.peek(), Tok::Word(_))).then_some(kind)
                });
                if kind.is_none() {
                    return self.unexpected("a parameter");
                }
            }
            let rest = self.eat("...");
            let name = self.expect_name()?;
            let default = if self.eat("=") {
                Some(self.expression()?)
            } else {
                None
            };
            params.push(Param {
                name,
                kind,
                default,
                rest,
            });
            if !self.eat(",") {
                break;
            }
        }
        Ok(params)
    }

    /// A value in a text: an expression, or statements of which the last is the value.
    fn value_of_text(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let one = self.attempt(|parser| {
            let value = parser.command_expression().ok()?;
            parser.eat(";");
            matches!(parser.peek(), Tok::End).then_some(value)
        });
        if let Some(value) = one {
            return Ok(value);
        }
        let mut body = Vec::new();
        while !matches!(self.peek(), Tok::End) {
            body.push(self.statement()?);
        }
        let params = Some(Vec::new());
        let closure = expr(at, ExprKind::Closure(Rc::new(ClosureDef { params, body })));
        Ok(expr(
            at,
            ExprKind::CallValue {
                of: Box::new(closure),
                args: Args::default(),
            },
        ))
    }

    /// A text with values in it.
    pub(super) fn interpolated(&mut self, at: u32, pieces: &[Piece]) -> Parsed<Expr> {
        let mut parts = Vec::new();
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.clone()),
                Piece::Path(path) => {
                    let mut names = path.iter();
                    let mut value = match names.next() {
                        Some((at, name)) if &**name == "this" => expr(*at, ExprKind::This),
                        Some((at, name)) => expr(*at, ExprKind::Variable(name.clone())),
                        None => expr(at, ExprKind::Null),
                    };
                    for (at, name) in names {
                        value = expr(
                            *at,
                            ExprKind::Property {
                                of: Box::new(value),
                                name: text(*at, name.clone()),
                                safe: false,
                                spread: false,
                            },
                        );
                    }
                    Part::Value(value)
                }
                Piece::Tokens(tokens) => {
                    let mut inner = Parser::new(self.source, Rc::clone(tokens));
                    if matches!(inner.peek(), Tok::End) {
                        Part::Value(expr(at, ExprKind::Null))
                    } else {
                        // `${-> x}`: the value is taken at once here.
                        inner.eat("->");
                        Part::Value(self.nested(|_| inner.value_of_text())?)
                    }
                }
            });
        }
        Ok(expr(at, ExprKind::GText(parts)))
    }
}

fn one(value: Expr) -> Args {
    Args {
        plain: vec![Arg::Plain(value)],
        named: Vec::new(),
    }
}

fn is_steps(name: &Expr) -> bool {
    matches!(&name.kind, ExprKind::Text(name) if &**name == "steps")
}
