//! Groovy text to syntax tree. Knows the language that seed repositories are written in, and nothing of jobs.

mod ast;
mod classes;
mod expressions;
mod lexer;
mod operands;
mod parser;
mod statements;
mod strings;

pub(crate) use ast::{
    Arg, Args, BinaryOp, Block, Case, Catch, ClassDef, ClassKind, ClosureDef, Expr, ExprKind, ForHead, Key,
    MethodDef, Module, Name, Param, Part, Stmt, StmtKind, TypeName, UnaryOp, is_pipeline,
};
pub(crate) use parser::{SyntaxError, parse, parse_expression};
