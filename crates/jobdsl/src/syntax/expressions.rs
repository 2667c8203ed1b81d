//! Operators and their order.

use super::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use super::lexer::Tok;
use super::parser::{Parsed, Parser};

/// Binding strength and meaning of what may stand between two values.
enum Infix {
    Binary(BinaryOp),
    And,
    Or,
    In(bool),
    InstanceOf(bool),
    As,
    Range(bool),
}

impl Parser<'_> {
    /// A whole expression, assignments included.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let target = parser.ternary()?;
            parser.assignment(target)
        })
    }

    /// What follows a value on the left side of an assignment.
    pub(super) fn assignment(&mut self, target: Expr) -> Parsed<Expr> {
        let op = match self.peek() {
            Tok::Op("=") => None,
            Tok::Op("+=") => Some(BinaryOp::Add),
            Tok::Op("-=") => Some(BinaryOp::Subtract),
            Tok::Op("*=") => Some(BinaryOp::Multiply),
            Tok::Op("/=") => Some(BinaryOp::Divide),
            Tok::Op("%=") => Some(BinaryOp::Remainder),
            Tok::Op("**=") => Some(BinaryOp::Power),
            Tok::Op("<<=") => Some(BinaryOp::ShiftLeft),
            Tok::Op(">>=" | ">>>=") => Some(BinaryOp::ShiftRight),
            Tok::Op("&=") => Some(BinaryOp::BitAnd),
            Tok::Op("|=") => Some(BinaryOp::BitOr),
            Tok::Op("^=") => Some(BinaryOp::BitXor),
            Tok::Op("?=") => {
                let at = target.at;
                self.advance();
                let value = Box::new(self.command_expression()?);
                let target = Box::new(target);
                return Ok(Expr {
                    at,
                    kind: ExprKind::AssignIfNull { target, value },
                });
            }
            _ => return Ok(target),
        };
        if self.breaks() {
            return Ok(target);
        }
        let at = target.at;
        match &target.kind {
            ExprKind::Variable(_)
            | ExprKind::Property { .. }
            | ExprKind::Index { .. }
            | ExprKind::List(_) => {}
            _ => return self.fail(self.at(), "nothing can be assigned to what stands on the left"),
        }
        self.advance();
        let value = Box::new(self.nested(Self::command_expression)?);
        let target = Box::new(target);
        Ok(Expr {
            at,
            kind: ExprKind::Assign { target, op, value },
        })
    }

    fn ternary(&mut self) -> Parsed<Expr> {
        let test = self.infix(0)?;
        let at = test.at;
        if self.is("?:") {
            self.advance();
            let or = self.nested(Self::ternary)?;
            return Ok(Expr {
                at,
                kind: ExprKind::Elvis(Box::new(test), Box::new(or)),
            });
        }
        if self.is("?") {
            self.advance();
            let then = self.nested(Self::expression)?;
            self.expect(":")?;
            let or = self.nested(Self::expression)?;
            return Ok(Expr {
                at,
                kind: ExprKind::Ternary(Box::new(test), Box::new(then), Box::new(or)),
            });
        }
        Ok(test)
    }

    fn infix_operator(&self) -> Option<(u8, Infix, usize)> {
        use BinaryOp as B;
        let leading = self.breaks();
        let (strength, meaning) = match self.peek() {
            Tok::Op("||") => return Some((1, Infix::Or, 1)),
            Tok::Op("&&") => return Some((2, Infix::And, 1)),
            // Only these may begin a line and go on with the one before.
            _ if leading => return None,
            Tok::Op(op) => match *op {
                "|" => (3, Infix::Binary(B::BitOr)),
                "^" => (4, Infix::Binary(B::BitXor)),
                "&" => (5, Infix::Binary(B::BitAnd)),
                "==" => (6, Infix::Binary(B::Equal)),
                "!=" => (6, Infix::Binary(B::NotEqual)),
                "===" => (6, Infix::Binary(B::Same)),
                "!==" => (6, Infix::Binary(B::NotSame)),
                "<=>" => (6, Infix::Binary(B::Compare)),
                "=~" => (6, Infix::Binary(B::Find)),
                "==~" => (6, Infix::Binary(B::Match)),
                "<" => (7, Infix::Binary(B::Less)),
                "<=" => (7, Infix::Binary(B::LessEqual)),
                ">" => (7, Infix::Binary(B::Greater)),
                ">=" => (7, Infix::Binary(B::GreaterEqual)),
                "<<" => (8, Infix::Binary(B::ShiftLeft)),
                ">>" | ">>>" => (8, Infix::Binary(B::ShiftRight)),
                ".." => (8, Infix::Range(true)),
                "..<" => (8, Infix::Range(false)),
                "+" => (9, Infix::Binary(B::Add)),
                "-" => (9, Infix::Binary(B::Subtract)),
                "*" => (10, Infix::Binary(B::Multiply)),
                "/" => (10, Infix::Binary(B::Divide)),
                "%" => (10, Infix::Binary(B::Remainder)),
                "**" => (11, Infix::Binary(B::Power)),
                "!" => match self.word_at(1).as_deref() {
                    Some("in") => return Some((7, Infix::In(true), 2)),
                    Some("instanceof") => return Some((7, Infix::InstanceOf(true), 2)),
                    _ => return None,
                },
                _ => return None,
            },
            Tok::Word(word) => match &**word {
                "in" => (7, Infix::In(false)),
                "instanceof" => (7, Infix::InstanceOf(false)),
                "as" => (7, Infix::As),
                _ => return None,
            },
            _ => return None,
        };
        Some((strength, meaning, 1))
    }

    fn infix(&mut self, weakest: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        let mut links = 0;
        while let Some((strength, meaning, tokens)) = self.infix_operator() {
            if strength <= weakest {
                break;
            }
            self.link(&mut links)?;
            for _ in 0..tokens {
                self.advance();
            }
            let at = left.at;
            let this = Box::new(left);
            let kind = match meaning {
                Infix::Binary(op) => ExprKind::Binary(op, this, self.right(strength)?),
                Infix::And => ExprKind::And(this, self.right(strength)?),
                Infix::Or => ExprKind::Or(this, self.right(strength)?),
                Infix::Range(inclusive) => ExprKind::Range {
                    from: this,
                    to: self.right(strength)?,
                    inclusive,
                },
                Infix::In(negated) => not_if(negated, at, ExprKind::In(this, self.right(strength)?)),
                Infix::InstanceOf(negated) => {
                    let Some(class) = self.type_name() else {
                        return self.unexpected("a type");
                    };
                    not_if(negated, at, ExprKind::InstanceOf(this, class))
                }
                Infix::As => {
                    let Some(class) = self.type_name() else {
                        return self.unexpected("a type");
                    };
                    ExprKind::Cast(class, this)
                }
            };
            left = Expr { at, kind };
        }
        Ok(left)
    }

    fn right(&mut self, strength: u8) -> Parsed<Box<Expr>> {
        self.nested(|parser| parser.infix(strength)).map(Box::new)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let op = match self.peek() {
            Tok::Op("!") => UnaryOp::Not,
            Tok::Op("-") => UnaryOp::Minus,
            Tok::Op("+") => UnaryOp::Plus,
            Tok::Op("~") => UnaryOp::Tilde,
            Tok::Op(step @ ("++" | "--")) => {
                let by = if *step == "++" { 1 } else { -1 };
                self.advance();
                let target = Box::new(self.nested(Self::unary)?);
                return Ok(Expr {
                    at,
                    kind: ExprKind::Step {
                        target,
                        by,
                        before: true,
                    },
                });
            }
            Tok::Op("(") => {
                if let Some(cast) = self.cast()? {
                    return Ok(cast);
                }
                return self.postfix();
            }
            _ => return self.postfix(),
        };
        self.advance();
        let value = self.nested(|parser| match op {
            // `-a ** b` is `-(a ** b)`; the others take the nearest value.
            UnaryOp::Minus => parser.infix(10),
            _ => parser.unary(),
        })?;
        let kind = match (op, value.kind) {
            (UnaryOp::Minus, ExprKind::Int(value)) => ExprKind::Int(value.wrapping_neg()),
            (UnaryOp::Minus, ExprKind::Decimal(value)) => ExprKind::Decimal(-value),
            (op, kind) => ExprKind::Unary(op, Box::new(Expr { at: value.at, kind })),
        };
        Ok(Expr { at, kind })
    }

    /// `(Type) value`.
    fn cast(&mut self) -> Parsed<Option<Expr>> {
        let at = self.at();
        let class = self.attempt(|parser| {
            parser.advance();
            let class = parser.type_name()?;
            if !parser.eat(")") || !looks_like_type(&class.name) || parser.tokens.get(parser.pos)?.newline {
                return None;
            }
            let operand = match parser.peek() {
                Tok::Word(word) => !matches!(&**word, "in" | "instanceof" | "as"),
                Tok::Int(_) | Tok::Decimal(_) | Tok::Text(_) | Tok::GText(_) => true,
                Tok::Op(op) => {
                    matches!(*op, "(" | "[" | "{" | "!" | "~") || (*op == "-" && class.name.len() < 8)
                }
                Tok::Bad(_) | Tok::End => false,
            };
            operand.then_some(class)
        });
        let Some(class) = class else { return Ok(None) };
        let value = Box::new(self.nested(Self::unary)?);
        Ok(Some(Expr {
            at,
            kind: ExprKind::Cast(class, value),
        }))
    }
}

fn not_if(negated: bool, at: u32, kind: ExprKind) -> ExprKind {
    if negated {
        ExprKind::Unary(UnaryOp::Not, Box::new(Expr { at, kind }))
    } else {
        kind
    }
}

/// Types are written with a capital, but for the built-in ones.
pub(super) fn looks_like_type(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.starts_with(char::is_uppercase) || is_primitive(last)
}

pub(super) fn is_primitive(name: &str) -> bool {
    matches!(
        name,
        "int" | "long" | "boolean" | "double" | "float" | "char" | "byte" | "short" | "void" | "def"
    )
}
