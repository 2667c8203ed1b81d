//! Tokens into trees, with the faults that Go's parser finds. Names of functions are checked by whoever asks.

use super::lex::{Kind as Token_, Lexer, Token};
use super::node::{Body, Branch, Command, Expr, Kind, Node, Pipe};
use super::number::{Number, unquote};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// How deep actions and parentheses may nest: what comes after walks the tree by recursion.
const DEPTH: usize = 120;

/// What a name of a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// It can be called.
    Known,
    /// There is none of that name.
    Unknown,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseFault {
    /// It is written wrongly.
    Syntax(String),
    /// It names a function that there is not.
    Function(String),
}

/// A fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The template's name.
    pub name: String,
    /// Byte offset of the token at which it showed.
    pub offset: usize,
    /// One-based line.
    pub line: usize,
    /// What is wrong.
    pub fault: ParseFault,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template: {}:{}: ", self.name, self.line)?;
        match &self.fault {
            ParseFault::Syntax(message) => f.write_str(message),
            ParseFault::Function(name) => write!(
                f,
                "function {} not defined",
                super::printf::quote(name.as_bytes(), false)
            ),
        }
    }
}

/// A tree and the text that it came from.
#[derive(Clone)]
pub(super) struct Tree {
    pub(super) parse_name: String,
    pub(super) text: std::sync::Arc<str>,
    pub(super) root: Body,
}

/// Templates by name.
#[derive(Clone, Default)]
pub struct Trees(pub(super) BTreeMap<String, Tree>);

impl fmt::Debug for Trees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Trees {
    /// Parses a text and adds its templates; those of nothing but white space do not replace others.
    ///
    /// # Errors
    /// With the first fault; nothing is added then.
    pub fn parse(
        &mut self,
        name: &str,
        text: &str,
        delimiters: (&str, &str),
        functions: &dyn Fn(&str) -> Function,
    ) -> Result<(), ParseError> {
        let mut parser = Parser {
            name,
            lexer: Lexer::new(text, delimiters.0, delimiters.1),
            text: text.into(),
            functions,
            ahead: VecDeque::new(),
            last: (0, 1),
            action_line: 0,
            depth: 0,
            trees: BTreeMap::new(),
        };
        parser.file()?;
        for (name, tree) in parser.trees {
            match self.0.get(&name) {
                Some(_) if tree.root.is_empty() => {}
                _ => {
                    self.0.insert(name, tree);
                }
            }
        }
        Ok(())
    }

    /// The names of all templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A template as text again, in Go's normal form.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|tree| tree.root.to_string())
    }
}

/// How a list of nodes ended.
enum End {
    End,
    Else,
}

/// What an action is: a node, or the end of the list that it stands in.
enum Item {
    Node(Node),
    End(End),
}

/// The names and loops that are open in one template.
struct Scope {
    variables: Vec<String>,
    loops: usize,
}

impl Scope {
    fn new() -> Self {
        Self {
            variables: vec!["$".to_owned()],
            loops: 0,
        }
    }
}

struct Parser<'a> {
    name: &'a str,
    lexer: Lexer<'a>,
    text: std::sync::Arc<str>,
    functions: &'a dyn Fn(&str) -> Function,
    ahead: VecDeque<Token>,
    last: (usize, usize),
    action_line: usize,
    depth: usize,
    trees: BTreeMap<String, Tree>,
}

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let token = self.ahead.pop_front().unwrap_or_else(|| self.lexer.next());
        self.last = (token.pos, token.line);
        token
    }

    fn back(&mut self, token: Token) {
        self.ahead.push_front(token);
    }

    fn peek(&mut self) -> Token_ {
        let token = self.next();
        let kind = token.kind;
        self.back(token);
        kind
    }

    fn solid(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Token_::Space {
                return token;
            }
        }
    }

    fn peek_solid(&mut self) -> Token_ {
        let token = self.solid();
        let kind = token.kind;
        self.back(token);
        kind
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        self.fault(ParseFault::Syntax(message.into()))
    }

    fn fault<T>(&self, fault: ParseFault) -> Parsed<T> {
        Err(ParseError {
            name: self.name.to_owned(),
            offset: self.last.0,
            line: self.last.1,
            fault,
        })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Token_::Error {
            return self.fail(format!("unexpected {} in {context}", token.describe()));
        }
        let mut message = token.text.clone();
        if self.action_line != 0 && self.action_line != token.line {
            let started = format!("started at {}:{}", self.name, self.action_line);
            // Not "unclosed action in action".
            if !message.ends_with(" action") {
                message.push_str(" in action");
            }
            message = format!("{message} {started}");
        }
        self.fail(message)
    }

    fn expect(&mut self, kind: Token_, context: &str) -> Parsed<Token> {
        let token = self.solid();
        if token.kind == kind {
            return Ok(token);
        }
        self.unexpected(&token, context)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail(format!("nested more than {DEPTH} times"));
        }
        Ok(())
    }

    fn add(&mut self, name: String, root: Body) -> Parsed<()> {
        let present = self.trees.get(&name);
        if present.is_none_or(|tree| tree.root.is_empty()) {
            let tree = Tree {
                parse_name: self.name.to_owned(),
                text: std::sync::Arc::clone(&self.text),
                root,
            };
            self.trees.insert(name, tree);
        } else if !root.is_empty() {
            return self.fail(format!(
                "template: multiple definition of template {}",
                super::printf::quote(name.as_bytes(), false)
            ));
        }
        Ok(())
    }

    fn file(&mut self) -> Parsed<()> {
        let mut scope = Scope::new();
        let mut root = Body::default();
        while self.peek() != Token_::Eof {
            if self.peek() == Token_::LeftDelim {
                let delimiter = self.next();
                let token = self.solid();
                if token.kind == Token_::Define {
                    self.definition()?;
                    continue;
                }
                self.back(token);
                self.back(delimiter);
            }
            match self.item(&mut scope)? {
                Item::Node(node) => root.0.push(node),
                Item::End(End::End) => return self.fail("unexpected {{end}}"),
                Item::End(End::Else) => return self.fail("unexpected {{else}}"),
            }
        }
        self.add(self.name.to_owned(), root)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.solid();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Token_::RightDelim, CONTEXT)?;
        let body = self.whole_body(CONTEXT)?;
        self.add(name, body)
    }

    /// The body of a definition or block, with a scope of its own.
    fn whole_body(&mut self, context: &str) -> Parsed<Body> {
        match self.body(&mut Scope::new())? {
            (body, End::End) => Ok(body),
            (_, End::Else) => self.fail(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    fn body(&mut self, scope: &mut Scope) -> Parsed<(Body, End)> {
        self.deeper()?;
        let mut body = Body::default();
        while self.peek_solid() != Token_::Eof {
            match self.item(scope)? {
                Item::Node(node) => body.0.push(node),
                Item::End(end) => {
                    self.depth -= 1;
                    return Ok((body, end));
                }
            }
        }
        let _ = self.next();
        self.fail("unexpected EOF")
    }

    fn item(&mut self, scope: &mut Scope) -> Parsed<Item> {
        let token = self.solid();
        match token.kind {
            Token_::Text => Ok(Item::Node(Node::Text(token.text))),
            Token_::LeftDelim => {
                self.action_line = token.line;
                let item = self.action(scope)?;
                self.action_line = 0;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self, scope: &mut Scope) -> Parsed<Item> {
        let token = self.solid();
        Ok(Item::Node(match token.kind {
            Token_::Block => self.block(scope)?,
            Token_::Break | Token_::Continue => self.jump(&token, scope)?,
            Token_::Else => {
                let next = self.solid();
                match next.kind {
                    Token_::If | Token_::With => self.back(next),
                    Token_::RightDelim => {}
                    _ => return self.unexpected(&next, "else"),
                }
                return Ok(Item::End(End::Else));
            }
            Token_::End => {
                self.expect(Token_::RightDelim, "end")?;
                return Ok(Item::End(End::End));
            }
            Token_::If => Node::If(self.control("if", scope)?),
            Token_::Range => Node::Range(self.control("range", scope)?),
            Token_::With => Node::With(self.control("with", scope)?),
            Token_::Template => self.invocation(scope)?,
            _ => {
                let pos = token.pos;
                self.back(token);
                Node::Action(pos, self.pipeline("command", Token_::RightDelim, scope)?)
            }
        }))
    }

    fn jump(&mut self, token: &Token, scope: &Scope) -> Parsed<Node> {
        let context = format!("{{{{{}}}}}", token.text);
        let next = self.solid();
        if next.kind != Token_::RightDelim {
            return self.unexpected(&next, &context);
        }
        if scope.loops == 0 {
            return self.fail(format!("{context} outside {{{{range}}}}"));
        }
        Ok(if token.kind == Token_::Break {
            Node::Break
        } else {
            Node::Continue
        })
    }

    fn control(&mut self, word: &str, scope: &mut Scope) -> Parsed<Branch> {
        let known = scope.variables.len();
        let pipe = self.pipeline(word, Token_::RightDelim, scope)?;
        let looping = usize::from(word == "range");
        scope.loops += looping;
        let (body, end) = self.body(scope)?;
        scope.loops -= looping;
        let mut otherwise = None;
        if let End::Else = end {
            let chained = matches!((word, self.peek()), ("if", Token_::If) | ("with", Token_::With));
            otherwise = Some(if chained {
                let _ = self.next();
                self.deeper()?;
                let branch = self.control(word, scope)?;
                self.depth -= 1;
                Body(vec![if word == "if" {
                    Node::If(branch)
                } else {
                    Node::With(branch)
                }])
            } else {
                match self.body(scope)? {
                    (body, End::End) => body,
                    (_, End::Else) => return self.fail("expected end; found {{else}}"),
                }
            });
        }
        scope.variables.truncate(known);
        Ok(Branch {
            pos: pipe.pos,
            pipe,
            body,
            otherwise,
        })
    }

    fn block(&mut self, scope: &mut Scope) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.solid();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Token_::RightDelim, scope)?;
        let body = self.whole_body(CONTEXT)?;
        self.add(name.clone(), body)?;
        Ok(Node::Template(token.pos, name, Some(pipe)))
    }

    fn invocation(&mut self, scope: &mut Scope) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.solid();
        let name = self.template_name(&token, CONTEXT)?;
        let next = self.solid();
        let pipe = if next.kind == Token_::RightDelim {
            None
        } else {
            self.back(next);
            Some(self.pipeline(CONTEXT, Token_::RightDelim, scope)?)
        };
        Ok(Node::Template(token.pos, name, pipe))
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parsed<String> {
        if !matches!(token.kind, Token_::String | Token_::RawString) {
            return self.unexpected(token, context);
        }
        match unquote(&token.text) {
            Some(name) => Ok(String::from_utf8_lossy(name.bytes().unwrap_or_default()).into_owned()),
            None => self.fail("invalid syntax"),
        }
    }

    fn pipeline(&mut self, context: &str, end: Token_, scope: &mut Scope) -> Parsed<Pipe> {
        let first = self.solid();
        let mut pipe = Pipe {
            pos: first.pos,
            ..Pipe::default()
        };
        self.back(first);
        while self.peek_solid() == Token_::Variable {
            let variable = self.solid();
            let after = self.next();
            let space = (after.kind == Token_::Space).then(|| after.clone());
            let next = if space.is_some() { self.solid() } else { after };
            match (next.kind, next.text.as_str()) {
                (Token_::Assign | Token_::Declare, _) => {
                    pipe.assign = next.kind == Token_::Assign;
                    pipe.variables.push(variable.text.clone());
                    scope.variables.push(variable.text);
                    break;
                }
                (Token_::Char, ",") => {
                    pipe.variables.push(variable.text.clone());
                    scope.variables.push(variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    match self.peek_solid() {
                        Token_::Variable | Token_::RightDelim | Token_::RightParen => {}
                        _ => return self.fail("range can only initialize variables"),
                    }
                }
                _ => {
                    self.back(next);
                    if let Some(space) = space {
                        self.back(space);
                    }
                    self.back(variable);
                    break;
                }
            }
        }
        loop {
            let token = self.solid();
            match token.kind {
                kind if kind == end => break,
                Token_::Bool
                | Token_::CharConstant
                | Token_::Complex
                | Token_::Dot
                | Token_::Field
                | Token_::Identifier
                | Token_::Number
                | Token_::Nil
                | Token_::RawString
                | Token_::String
                | Token_::Variable
                | Token_::LeftParen => {
                    self.back(token);
                    let command = self.command(scope)?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Kind::Bool(_) | Kind::Dot | Kind::Nil | Kind::Number(_) | Kind::String(..) =
                command.first.kind
            {
                return self.fail(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(pipe)
    }

    fn command(&mut self, scope: &mut Scope) -> Parsed<Command> {
        let mut operands = Vec::new();
        loop {
            let _ = self.peek_solid();
            operands.extend(self.operand(scope)?);
            let token = self.next();
            match token.kind {
                Token_::Space => {}
                Token_::RightDelim | Token_::RightParen => {
                    self.back(token);
                    break;
                }
                Token_::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(first) => Ok(Command {
                first,
                arguments: operands.collect(),
            }),
            None => self.fail("empty command"),
        }
    }

    fn operand(&mut self, scope: &mut Scope) -> Parsed<Option<Expr>> {
        let Some(mut term) = self.term(scope)? else {
            return Ok(None);
        };
        if self.peek() != Token_::Field {
            return Ok(Some(term));
        }
        let mut names = Vec::new();
        let mut pos = None;
        while self.peek() == Token_::Field {
            let token = self.next();
            pos.get_or_insert(token.pos);
            names.push(token.text.trim_start_matches('.').to_owned());
        }
        match &mut term.kind {
            Kind::Field(first) | Kind::Variable(_, first) => {
                first.append(&mut names);
                term.pos = pos.unwrap_or(term.pos);
            }
            Kind::Bool(_) | Kind::String(..) | Kind::Number(_) | Kind::Nil | Kind::Dot => {
                let text = term.to_string();
                return self.fail(format!(
                    "unexpected . after term {}",
                    super::printf::quote(text.as_bytes(), false)
                ));
            }
            _ => {
                let pos = pos.unwrap_or(term.pos);
                term = Expr {
                    pos,
                    kind: Kind::Chain(Box::new(term), names),
                };
            }
        }
        Ok(Some(term))
    }

    fn term(&mut self, scope: &mut Scope) -> Parsed<Option<Expr>> {
        let token = self.solid();
        let kind = match token.kind {
            Token_::Identifier => {
                if (self.functions)(&token.text) == Function::Unknown {
                    return self.fault(ParseFault::Function(token.text));
                }
                Kind::Identifier(token.text)
            }
            Token_::Dot => Kind::Dot,
            Token_::Nil => Kind::Nil,
            Token_::Variable => {
                if !scope.variables.contains(&token.text) {
                    return self.fail(format!(
                        "undefined variable {}",
                        super::printf::quote(token.text.as_bytes(), false)
                    ));
                }
                Kind::Variable(token.text, Vec::new())
            }
            Token_::Field => Kind::Field(vec![token.text.trim_start_matches('.').to_owned()]),
            Token_::Bool => Kind::Bool(token.text == "true"),
            Token_::CharConstant => Kind::Number(self.number(Number::character(&token.text))?),
            Token_::Complex => Kind::Number(self.number(Number::complex(&token.text))?),
            Token_::Number => Kind::Number(self.number(Number::parse(&token.text))?),
            Token_::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Token_::RightParen, scope)?;
                self.depth -= 1;
                Kind::Pipe(Box::new(pipe))
            }
            Token_::String | Token_::RawString => match unquote(&token.text) {
                Some(value) => Kind::String(token.text, value),
                None => return self.fail("invalid syntax"),
            },
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Expr { pos: token.pos, kind }))
    }

    fn number(&self, number: Result<Number, String>) -> Parsed<Number> {
        number.or_else(|message| self.fail(message))
    }
}
