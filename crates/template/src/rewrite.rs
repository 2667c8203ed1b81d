//! Rewrites a parsed template so that the engine behaves as Go does: `{{template "t"}}` passes nil, methods of values
//! are called, floats print as Go prints them; and notes for each action where it is, for errors.

use crate::error::ErrorKind;
use crate::functions;
use gotmpl::parse::{
    ActionNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr, TemplateNode,
};

/// Names of the internal functions; none can be written in a template by accident.
pub(crate) const AT: &str = "__at";
pub(crate) const PRINT: &str = "__print";
pub(crate) const NIL: &str = "__nil";
pub(crate) const METHOD: &str = "__method";

/// What the rewriting needs to know and what it finds.
pub(crate) struct Rewriter<'a> {
    /// Names that may not be used.
    pub(crate) denied: &'a [String],
    /// The first fault found, with its byte offset.
    pub(crate) fault: Option<(usize, ErrorKind)>,
}

impl Rewriter<'_> {
    /// Rewrites a body.
    pub(crate) fn list(&mut self, list: ListNode) -> ListNode {
        let mut nodes = Vec::with_capacity(list.nodes.len() * 2);
        for node in list.nodes {
            if let Some(pos) = located(&node) {
                nodes.push(mark(pos));
            }
            let (before, node) = in_place(node);
            nodes.extend(before.map(|node| self.node(node)));
            nodes.push(self.node(node));
        }
        ListNode { pos: list.pos, nodes }
    }

    fn node(&mut self, node: Node) -> Node {
        match node {
            Node::List(list) => Node::List(self.list(list)),
            Node::Action(action) => {
                let mut pipe = self.pipe(action.pipe);
                // A lone `nil` stays as it is, for the engine to refuse.
                if pipe.decl.is_empty() {
                    pipe.commands.push(call(action.pos, PRINT, Vec::new()));
                }
                Node::Action(ActionNode {
                    pos: action.pos,
                    pipe,
                })
            }
            Node::If(mut branch) => {
                branch.pipe = self.pipe(branch.pipe);
                branch.body = self.list(branch.body);
                branch.else_body = branch.else_body.map(|body| self.list(body));
                Node::If(branch)
            }
            Node::Range(mut branch) => {
                branch.pipe = self.pipe(branch.pipe);
                branch.body = self.list(branch.body);
                branch.else_body = branch.else_body.map(|body| self.list(body));
                Node::Range(branch)
            }
            Node::With(mut branch) => {
                branch.pipe = self.pipe(branch.pipe);
                branch.body = self.list(branch.body);
                branch.else_body = branch.else_body.map(|body| self.list(body));
                Node::With(branch)
            }
            Node::Template(invocation) => {
                let pipe = match invocation.pipe {
                    Some(pipe) => self.pipe(pipe),
                    None => PipeNode {
                        pos: invocation.pos,
                        decl: Vec::new(),
                        commands: vec![call(invocation.pos, NIL, Vec::new())],
                        is_assign: false,
                    },
                };
                Node::Template(TemplateNode {
                    pos: invocation.pos,
                    name: invocation.name,
                    pipe: Some(pipe),
                })
            }
            other @ (Node::Text(_) | Node::Define(_) | Node::Break(_) | Node::Continue(_)) => other,
        }
    }

    fn pipe(&mut self, mut pipe: PipeNode) -> PipeNode {
        pipe.commands = pipe
            .commands
            .into_iter()
            .enumerate()
            .map(|(i, command)| self.command(command, i > 0))
            .collect();
        pipe
    }

    fn command(&mut self, command: CommandNode, piped: bool) -> CommandNode {
        let pos = command.pos;
        let mut args: Vec<Expr> = command.args.into_iter().map(|arg| self.expr(arg)).collect();
        // `$s.Get "x"`: a field with arguments is a method call.
        if args.len() > 1 || piped {
            let receiver = match args.first() {
                Some(Expr::Variable(at, name, fields)) if !fields.is_empty() => fields
                    .split_last()
                    .map(|(m, rest)| (Expr::Variable(*at, name.clone(), rest.to_vec()), m.clone())),
                Some(Expr::Field(at, fields)) => fields.split_last().map(|(m, rest)| {
                    let receiver = if rest.is_empty() {
                        Expr::Dot(*at)
                    } else {
                        Expr::Field(*at, rest.to_vec())
                    };
                    (receiver, m.clone())
                }),
                Some(Expr::Chain(at, inner, fields)) => fields.split_last().map(|(m, rest)| {
                    let receiver = if rest.is_empty() {
                        (**inner).clone()
                    } else {
                        Expr::Chain(*at, inner.clone(), rest.to_vec())
                    };
                    (receiver, m.clone())
                }),
                _ => None,
            };
            if let Some((receiver, method)) = receiver {
                let name = Expr::String(pos, method.as_str().into());
                args.splice(
                    0..1,
                    [Expr::Identifier(pos, SmolStr::new(METHOD)), receiver, name],
                );
            }
        }
        CommandNode { pos, args }
    }

    fn expr(&mut self, expr: Expr) -> Expr {
        match expr {
            Expr::Pipe(pos, pipe) => Expr::Pipe(pos, self.pipe(pipe)),
            Expr::Chain(pos, inner, fields) => Expr::Chain(pos, Box::new(self.expr(*inner)), fields),
            Expr::Identifier(pos, name) => {
                self.check_name(pos, &name);
                Expr::Identifier(pos, name)
            }
            other => other,
        }
    }

    fn check_name(&mut self, pos: Pos, name: &str) {
        if self.fault.is_some() {
            return;
        }
        let kind = if self.denied.iter().any(|pattern| glob(pattern, name)) {
            ErrorKind::DeniedFunction(name.to_owned())
        } else if let Some(product) = functions::unsupported(name) {
            ErrorKind::Unsupported(name.to_owned(), product)
        } else if functions::exists(name) {
            return;
        } else {
            ErrorKind::UnknownFunction {
                name: name.to_owned(),
                suggestion: herder_base::suggest(name, functions::names()).map(str::to_owned),
            }
        };
        self.fault = Some((pos.offset, kind));
    }
}

/// Where an error in this node is to be reported.
fn located(node: &Node) -> Option<Pos> {
    match node {
        Node::Action(node) => Some(node.pos),
        Node::If(node) | Node::Range(node) | Node::With(node) => Some(node.pos),
        Node::Template(node) => Some(node.pos),
        Node::List(_) | Node::Text(_) | Node::Define(_) | Node::Break(_) | Node::Continue(_) => None,
    }
}

fn call(pos: Pos, name: &str, mut args: Vec<Expr>) -> CommandNode {
    args.insert(0, Expr::Identifier(pos, SmolStr::new(name)));
    CommandNode { pos, args }
}

/// An action that notes a position and prints nothing, as it declares a variable.
fn mark(pos: Pos) -> Node {
    let offset = i64::try_from(pos.offset).unwrap_or(i64::MAX);
    Node::Action(ActionNode {
        pos,
        pipe: PipeNode {
            pos,
            decl: vec![SmolStr::new("$__at")],
            commands: vec![call(pos, AT, vec![Expr::Number(pos, Number::Int(offset))])],
            is_assign: false,
        },
    })
}

/// Sprig's `set $map "key" value` changes the map that a variable holds; values are immutable here, so that the
/// variable is assigned first: `{{$_ := set $map …}}` becomes `{{$map = set $map …}}{{$_ := $map}}`.
fn in_place(node: Node) -> (Option<Node>, Node) {
    let Node::Action(mut action) = node else {
        return (None, node);
    };
    let variable = match action.pipe.commands.as_slice() {
        [command] => match command.args.as_slice() {
            [
                Expr::Identifier(_, name),
                Expr::Variable(pos, variable, fields),
                ..,
            ] if fields.is_empty() && matches!(name.as_str(), "sprig_set" | "sprig_unset") => {
                Some((*pos, variable.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    let Some((pos, variable)) = variable else {
        return (None, Node::Action(action));
    };
    let value = CommandNode {
        pos,
        args: vec![Expr::Variable(pos, variable.clone(), Vec::new())],
    };
    let commands = std::mem::replace(&mut action.pipe.commands, vec![value]);
    let assign = PipeNode {
        pos,
        decl: vec![variable],
        commands,
        is_assign: true,
    };
    (
        Some(Node::Action(ActionNode { pos, pipe: assign })),
        Node::Action(action),
    )
}

/// `*` matches any run of characters.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(i, _)| i)
                .chain([rest.len()])
                .any(|i| rest.get(i..).is_some_and(|tail| glob(after, tail)))
        }),
    }
}
