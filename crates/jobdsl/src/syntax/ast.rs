//! The syntax tree. Every node that can fail when it runs knows its byte offset in the file.

use std::rc::Rc;

/// A name or a piece of text, shared.
pub(crate) type Name = Rc<str>;

/// A file.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) package: String,
    pub(crate) imports: Vec<Import>,
    pub(crate) classes: Vec<Rc<ClassDef>>,
    pub(crate) methods: Vec<Rc<MethodDef>>,
    pub(crate) body: Block,
}

/// `import [static] a.b.C[.*] [as D]`.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) path: String,
    pub(crate) is_static: bool,
    pub(crate) star: bool,
    pub(crate) alias: Option<String>,
}

pub(crate) type Block = Vec<Stmt>;

#[derive(Debug)]
pub(crate) struct Stmt {
    pub(crate) at: u32,
    /// Where the statement ends; with `at` the text of a line that turns out to be a shell command.
    pub(crate) end: u32,
    pub(crate) kind: StmtKind,
}

#[derive(Debug)]
pub(crate) enum StmtKind {
    Expr(Expr),
    /// `def a = 1`, `String a`, `def (a, b) = x`.
    Declare {
        names: Vec<(Name, Option<TypeName>)>,
        several: bool,
        value: Option<Expr>,
    },
    /// `def a = 1, b = 2`.
    Group(Vec<StmtKind>),
    /// `(a, b) = x`.
    AssignAll {
        names: Vec<Expr>,
        value: Expr,
    },
    If {
        test: Expr,
        then: Block,
        or: Block,
    },
    While {
        test: Expr,
        body: Block,
        /// `do … while`: the body runs once before the test.
        first: bool,
    },
    For {
        head: ForHead,
        body: Block,
    },
    Return(Option<Expr>),
    Break,
    Continue,
    Throw(Expr),
    Assert {
        test: Expr,
        message: Option<Expr>,
        text: Name,
    },
    Try {
        body: Block,
        catches: Vec<Catch>,
        finally: Block,
    },
    Switch {
        value: Expr,
        cases: Vec<Case>,
    },
    Block(Block),
    /// A line that is no Groovy, where such lines are commands.
    Shell(Name),
    /// A call or name on one line where lines may be commands: it is one if nothing of that name exists.
    MaybeShell(Expr, Name),
    /// A class or method defined inside a block.
    Class(Rc<ClassDef>),
    Method(Rc<MethodDef>),
}

#[derive(Debug)]
pub(crate) enum ForHead {
    In {
        name: Name,
        values: Expr,
    },
    Classic {
        init: Block,
        test: Option<Expr>,
        step: Vec<Expr>,
    },
}

#[derive(Debug)]
pub(crate) struct Catch {
    pub(crate) types: Vec<TypeName>,
    pub(crate) name: Name,
    pub(crate) body: Block,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// None for `default`.
    pub(crate) value: Option<Expr>,
    pub(crate) body: Block,
}

/// A type's name as written, without type parameters; `[]` for arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeName {
    pub(crate) name: Name,
    pub(crate) array: bool,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) at: u32,
    pub(crate) kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(f64),
    Text(Name),
    GText(Vec<Part>),
    List(Vec<Arg>),
    Map(Vec<(Key, Expr)>),
    Variable(Name),
    This,
    Super,
    Closure(Rc<ClosureDef>),
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    Elvis(Box<Expr>, Box<Expr>),
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
        inclusive: bool,
    },
    /// `a = b`, `a += b` (then with the operator).
    Assign {
        target: Box<Expr>,
        op: Option<BinaryOp>,
        value: Box<Expr>,
    },
    /// `a ?= b`.
    AssignIfNull {
        target: Box<Expr>,
        value: Box<Expr>,
    },
    /// `[a, b]` on the left side of `=`, or `def (a, b)`.
    Index {
        of: Box<Expr>,
        index: Box<Expr>,
        safe: bool,
    },
    Property {
        of: Box<Expr>,
        name: Box<Expr>,
        safe: bool,
        spread: bool,
    },
    Call {
        /// None for a call without receiver.
        of: Option<Box<Expr>>,
        name: Box<Expr>,
        args: Args,
        safe: bool,
        spread: bool,
        /// Written without parentheses.
        command: bool,
    },
    /// `expr(args)`: the value is called.
    CallValue {
        of: Box<Expr>,
        args: Args,
    },
    New {
        class: TypeName,
        args: Args,
        /// `new A() { … }`.
        body: Option<Rc<ClassDef>>,
    },
    Cast(TypeName, Box<Expr>),
    InstanceOf(Box<Expr>, TypeName),
    In(Box<Expr>, Box<Expr>),
    MethodRef {
        of: Box<Expr>,
        name: Box<Expr>,
    },
    /// `++a`, `a++`, `--a`, `a--`.
    Step {
        target: Box<Expr>,
        by: i64,
        before: bool,
    },
}

/// A piece of a text with values in it.
#[derive(Debug)]
pub(crate) enum Part {
    Text(Name),
    Value(Expr),
}

#[derive(Debug)]
pub(crate) enum Key {
    Name(Name),
    Value(Expr),
    /// `*: map`.
    Spread,
}

#[derive(Debug)]
pub(crate) enum Arg {
    Plain(Expr),
    /// `*list`.
    Spread(Expr),
}

#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) plain: Vec<Arg>,
    pub(crate) named: Vec<(Key, Expr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Not,
    Minus,
    Plus,
    /// `~`: a pattern.
    Tilde,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    ShiftLeft,
    ShiftRight,
    BitAnd,
    BitOr,
    BitXor,
    Equal,
    NotEqual,
    Same,
    NotSame,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Compare,
    Find,
    Match,
}

#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: Name,
    pub(crate) kind: Option<TypeName>,
    pub(crate) default: Option<Expr>,
    pub(crate) rest: bool,
}

#[derive(Debug)]
pub(crate) struct ClosureDef {
    /// None: the implicit `it`.
    pub(crate) params: Option<Vec<Param>>,
    pub(crate) body: Block,
}

#[derive(Debug)]
pub(crate) struct MethodDef {
    pub(crate) name: Name,
    pub(crate) params: Vec<Param>,
    pub(crate) body: Block,
    pub(crate) is_static: bool,
    pub(crate) is_abstract: bool,
}

#[derive(Debug)]
pub(crate) struct FieldDef {
    pub(crate) at: u32,
    pub(crate) name: Name,
    pub(crate) kind: Option<TypeName>,
    pub(crate) value: Option<Expr>,
    pub(crate) is_static: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassKind {
    Class,
    Interface,
    Trait,
    Enum,
}

#[derive(Debug)]
pub(crate) struct ClassDef {
    pub(crate) kind: ClassKind,
    pub(crate) name: Name,
    pub(crate) parent: Option<TypeName>,
    pub(crate) interfaces: Vec<TypeName>,
    pub(crate) annotations: Vec<Name>,
    pub(crate) fields: Vec<FieldDef>,
    pub(crate) methods: Vec<Rc<MethodDef>>,
    pub(crate) constructors: Vec<Rc<MethodDef>>,
    pub(crate) constants: Vec<(Name, Args)>,
    pub(crate) initialisers: Vec<(bool, Block)>,
    pub(crate) inner: Vec<Rc<ClassDef>>,
}

/// Whether a file is a pipeline, which runs builds instead of defining jobs.
pub(crate) fn is_pipeline(module: &Module) -> bool {
    module.body.iter().any(|statement| {
        let StmtKind::Expr(Expr {
            kind: ExprKind::Call {
                of: None, name, args, ..
            },
            ..
        }) = &statement.kind
        else {
            return false;
        };
        let block = matches!(
            args.plain.last(),
            Some(Arg::Plain(Expr {
                kind: ExprKind::Closure(_),
                ..
            }))
        );
        block
            && matches!(&name.kind, ExprKind::Text(name) if matches!(&**name, "pipeline" | "node" | "stage"))
    })
}
