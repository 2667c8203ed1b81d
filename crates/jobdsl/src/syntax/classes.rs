//! Classes, traits, enumerations and methods.

use super::ast::{Args, ClassDef, ClassKind, FieldDef, MethodDef, Name, TypeName};
use super::expressions::looks_like_type;
use super::lexer::Tok;
use super::parser::{Parsed, Parser};
use std::rc::Rc;

const MODIFIERS: &[&str] = &[
    "public",
    "private",
    "protected",
    "static",
    "final",
    "abstract",
    "synchronized",
    "transient",
    "volatile",
    "native",
    "default",
    "strictfp",
    "sealed",
];

#[derive(Debug, Default, Clone, Copy)]
struct Modifiers {
    any: bool,
    is_static: bool,
    is_abstract: bool,
}

impl Parser<'_> {
    fn modifiers(&mut self) -> Parsed<Modifiers> {
        let mut out = Modifiers::default();
        loop {
            self.annotations()?;
            let Some(word) = self.word() else { return Ok(out) };
            // `def static` is as good as `static def`.
            if &*word == "def" && self.word_at(1).is_some_and(|next| MODIFIERS.contains(&&*next)) {
                self.advance();
                continue;
            }
            if !MODIFIERS.contains(&&*word)
                || !matches!(self.peek_at(1), Tok::Word(_) | Tok::Op("@" | "{" | "<"))
            {
                return Ok(out);
            }
            out.any = true;
            out.is_static |= &*word == "static";
            out.is_abstract |= &*word == "abstract";
            if self.is_at(1, "{") {
                return Ok(out);
            }
            self.advance();
        }
    }

    /// A class, trait, interface or enumeration, if one begins here.
    pub(super) fn class(&mut self, annotations: &[Name]) -> Parsed<Option<Rc<ClassDef>>> {
        let start = self.pos;
        let mut annotations = annotations.to_vec();
        annotations.extend(self.annotations()?);
        self.modifiers()?;
        // Groovy lets `def` stand before a class too.
        if self.is_word("def")
            && self
                .word_at(1)
                .is_some_and(|word| matches!(&*word, "class" | "enum" | "interface" | "trait"))
        {
            self.advance();
        }
        let kind = match self.word().as_deref() {
            Some("class") => ClassKind::Class,
            Some("interface") => ClassKind::Interface,
            Some("trait") => ClassKind::Trait,
            Some("enum") => ClassKind::Enum,
            _ if self.is("@") && matches!(self.peek_at(1), Tok::Word(_)) => {
                self.advance();
                ClassKind::Interface
            }
            _ => {
                self.pos = start;
                return Ok(None);
            }
        };
        if !matches!(self.peek_at(1), Tok::Word(_)) {
            self.pos = start;
            return Ok(None);
        }
        self.advance();
        let Some(name) = self.type_name() else {
            return self.unexpected("a class's name");
        };
        let mut class = ClassDef {
            kind,
            name: name.name,
            parent: None,
            interfaces: Vec::new(),
            annotations,
            fields: Vec::new(),
            methods: Vec::new(),
            constructors: Vec::new(),
            constants: Vec::new(),
            initialisers: Vec::new(),
            inner: Vec::new(),
        };
        loop {
            let extends = self.eat_word("extends");
            if !extends && !self.eat_word("implements") {
                break;
            }
            loop {
                let Some(other) = self.type_name() else {
                    return self.unexpected("a type");
                };
                if extends && kind != ClassKind::Interface {
                    class.parent = Some(other);
                } else {
                    class.interfaces.push(other);
                }
                if !self.eat(",") {
                    break;
                }
            }
        }
        self.class_body(&mut class)?;
        Ok(Some(Rc::new(class)))
    }

    fn class_body(&mut self, class: &mut ClassDef) -> Parsed<()> {
        let open = self.at();
        self.expect("{")?;
        self.in_braces(false, |parser| {
            if class.kind == ClassKind::Enum {
                parser.constants(class)?;
            }
            parser.members(class, open)
        })
    }

    /// The body of `new Parent(…) { … }`.
    pub(super) fn anonymous(&mut self, parent: &TypeName) -> Parsed<Rc<ClassDef>> {
        let at = self.at();
        let mut class = ClassDef {
            kind: ClassKind::Class,
            name: format!("{}${at}", parent.name).into(),
            parent: Some(parent.clone()),
            interfaces: Vec::new(),
            annotations: Vec::new(),
            fields: Vec::new(),
            methods: Vec::new(),
            constructors: Vec::new(),
            constants: Vec::new(),
            initialisers: Vec::new(),
            inner: Vec::new(),
        };
        self.class_body(&mut class)?;
        Ok(Rc::new(class))
    }

    fn constants(&mut self, class: &mut ClassDef) -> Parsed<()> {
        loop {
            self.annotations()?;
            let Some(name) = self.word() else { return Ok(()) };
            let constant = matches!(self.peek_at(1), Tok::Op("," | ";" | "}" | "(" | "{"))
                || self.token_at(self.pos + 1).is_some_and(|token| token.newline);
            if !constant || MODIFIERS.contains(&&*name) {
                return Ok(());
            }
            self.advance();
            let args = if self.is("(") {
                self.arguments()?
            } else {
                Args::default()
            };
            class.constants.push((name, args));
            if !self.eat(",") {
                return Ok(());
            }
        }
    }

    fn members(&mut self, class: &mut ClassDef, open: u32) -> Parsed<()> {
        loop {
            while self.eat(";") {}
            if self.eat("}") {
                return Ok(());
            }
            if matches!(self.peek(), Tok::End) {
                return self.fail(open, "a brace that opens here is not closed");
            }
            if let Some(inner) = self.class(&[])? {
                class.inner.push(inner);
                continue;
            }
            if let Some(method) = self.method(true)? {
                if method.name == class.name {
                    class.constructors.push(method);
                } else {
                    class.methods.push(method);
                }
                continue;
            }
            let modifiers = self.modifiers()?;
            let block = self.at();
            if self.eat_word("static") && self.is("{") || self.is("{") {
                self.expect("{")?;
                let body = self.in_braces(false, |parser| parser.statements(block))?;
                class.initialisers.push((modifiers.is_static, body));
                continue;
            }
            self.field(class, modifiers)?;
        }
    }

    fn field(&mut self, class: &mut ClassDef, modifiers: Modifiers) -> Parsed<()> {
        let at = self.at();
        if self.is_word("def") {
            self.advance();
            self.annotations()?;
        }
        let kind = self.attempt(|parser| {
            let kind = parser.type_name()?;
            (matches!(parser.peek(), Tok::Word(_)) && !parser.breaks()).then_some(kind)
        });
        loop {
            let name = self.expect_name()?;
            let value = if self.eat("=") {
                Some(self.command_expression()?)
            } else {
                None
            };
            class.fields.push(FieldDef {
                at,
                name,
                kind: kind.clone(),
                value,
                is_static: modifiers.is_static || class.kind == ClassKind::Interface,
            });
            if !self.eat(",") {
                break;
            }
        }
        if !self.breaks() && !matches!(self.peek(), Tok::Op(";" | "}")) {
            return self.unexpected("the end of the field");
        }
        Ok(())
    }

    /// A method, if one begins here: `def a(…) {`, `static String a(…) {`, in classes also constructors.
    pub(super) fn method(&mut self, in_class: bool) -> Parsed<Option<Rc<MethodDef>>> {
        let start = self.pos;
        let modifiers = self.modifiers()?;
        let name = self.attempt(|parser| {
            let mut typed = modifiers.any;
            if parser.is("<") {
                // Type parameters.
                while !parser.eat(">") {
                    if matches!(parser.peek(), Tok::End) {
                        return None;
                    }
                    parser.advance();
                }
                typed = true;
            }
            if parser.is_word("def") {
                parser.advance();
                typed = true;
            }
            let named =
                |parser: &Self| matches!(parser.peek(), Tok::Word(_) | Tok::Text(_)) && parser.is_at(1, "(");
            if !named(parser) {
                let kind = parser.type_name()?;
                if !named(parser)
                    || parser.breaks()
                    || !(looks_like_type(&kind.name) || modifiers.any || in_class)
                {
                    return None;
                }
                // `return foo(…)`, `new Foo(…)` are no methods.
                if matches!(
                    &*kind.name,
                    "return" | "new" | "throw" | "else" | "assert" | "case" | "in"
                ) {
                    return None;
                }
                typed = true;
            }
            if !typed && !in_class {
                return None;
            }
            let name = match parser.peek() {
                Tok::Word(word) | Tok::Text(word) => word.clone(),
                _ => return None,
            };
            parser.advance();
            let open = parser.pos;
            parser.skip_parentheses().ok()?;
            // What follows the parameters tells a method from a call.
            let body = parser.is("{") || parser.is_word("throws");
            let bodyless = in_class && (parser.is(";") || parser.breaks() || parser.is("}"));
            parser.pos = open;
            (body || bodyless).then_some(name)
        });
        let Some(name) = name else {
            self.pos = start;
            return Ok(None);
        };
        self.expect("(")?;
        let params = self.enclosed(|parser| parser.params(")"))?;
        self.expect(")")?;
        if self.eat_word("throws") {
            while self.type_name().is_some() && self.eat(",") {}
        }
        let open = self.at();
        let mut is_abstract = modifiers.is_abstract;
        let body = if self.eat("{") {
            self.in_braces(false, |parser| parser.statements(open))?
        } else {
            is_abstract = true;
            Vec::new()
        };
        Ok(Some(Rc::new(MethodDef {
            name,
            params,
            body,
            is_static: modifiers.is_static,
            is_abstract,
        })))
    }
}
