//! Statements, one after the other, on one session. What one defines, the next one sees.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use rhai::module_resolvers::FileModuleResolver;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Module, OptimizationLevel, ParseError, Position, Scope};

use super::failure::End;
use super::{Session, api};

/// Why a script, or a line of the shell, came to no good end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptError {
    /// What went wrong, in one line.
    pub text: String,
    /// Where; none if that is not known.
    pub line: Option<usize>,
    /// The column there.
    pub column: Option<usize>,
    /// The functions around it, the innermost first: name and the line of the call.
    pub chain: Vec<(String, Option<usize>)>,
    /// What kind of end it is.
    pub kind: ErrorKind,
}

/// What kind of end an error is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// It cannot be understood; nothing ran.
    Syntax,
    /// It ran, and failed.
    Failed,
    /// `skip(reason)`.
    Skipped(String),
    /// Its time was over, or a signal came.
    Ended,
    /// A function of ours panicked: a bug of this program.
    Panicked,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.text)?,
            (Some(line), None) => write!(f, "line {line}: {}", self.text)?,
            _ => f.write_str(&self.text)?,
        }
        for (name, line) in &self.chain {
            match line {
                Some(line) => write!(f, "\n  in {name}(), called at line {line}")?,
                None => write!(f, "\n  in {name}()")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

/// Evaluates statements on a session.
pub struct Evaluator {
    engine: Engine,
    scope: Scope<'static>,
    /// The functions that were defined so far.
    functions: AST,
    session: Rc<Session>,
}

/// Variables and functions at one time.
pub struct Mark {
    scope: Scope<'static>,
    functions: AST,
}

impl Evaluator {
    /// A fresh scope on `session`. Imported files are found in the current folder.
    #[must_use]
    pub fn new(session: Rc<Session>) -> Self {
        Self::with_folder(session, None)
    }

    /// As [`Self::new`], with imported files found in `folder`.
    #[must_use]
    pub fn with_folder(session: Rc<Session>, folder: Option<&Path>) -> Self {
        let mut engine = Engine::new();
        limit(&mut engine);
        if let Some(folder) = folder {
            engine.set_module_resolver(FileModuleResolver::new_with_path(folder));
        }
        let arguments: Dynamic = session.arguments.clone().into();
        // Scripts' functions see no global variables but those of modules, so the arguments are in both.
        let mut module = Module::new();
        module.set_var("ARGS", arguments.clone());
        engine.register_global_module(module.into());
        let mut scope = Scope::new();
        scope.push_constant_dynamic("ARGS", arguments);
        let watched = session.clone();
        engine.on_progress(move |operations| {
            // A look at the clock is a system call, a statement is not.
            if operations % 256 == 0 { watched.ends().map(Dynamic::from) } else { None }
        });
        api::register(&mut engine, &session);
        Self { engine, scope, functions: AST::empty(), session }
    }

    /// Compiles without running.
    ///
    /// # Errors
    /// [`ErrorKind::Syntax`].
    pub fn compile(&self, text: &str) -> Result<AST, ScriptError> {
        self.engine.compile_with_scope(&self.scope, text).map_err(|error| of_syntax(&error))
    }

    /// Runs what was compiled.
    ///
    /// # Errors
    /// What the script threw, or how it was ended.
    pub fn eval(&mut self, ast: &AST) -> Result<Option<String>, ScriptError> {
        let value = self.value(ast)?;
        Ok((!value.is_unit()).then(|| shown(&value)))
    }

    /// As [`Self::eval`], with the value itself.
    ///
    /// # Errors
    /// What the script threw, or how it was ended.
    pub fn value(&mut self, ast: &AST) -> Result<Dynamic, ScriptError> {
        let whole = self.functions.merge(ast);
        let Self { engine, scope, .. } = self;
        let before = scope.len();
        // The engine keeps nothing of a call that panicked, and a session's books are plain values.
        let result = catch_unwind(AssertUnwindSafe(|| engine.eval_ast_with_scope::<Dynamic>(scope, &whole)));
        self.functions = self.functions.merge(&ast.clone_functions_only());
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => of_result(*error),
            Err(panic) => {
                self.scope.rewind(before);
                Err(of_panic(&*panic))
            }
        }
    }

    /// Compiles and runs one statement or several. The value of the last one, if it has one, is returned as text.
    ///
    /// # Errors
    /// What is wrong with it, or what it threw.
    pub fn eval_line(&mut self, text: &str) -> Result<Option<String>, ScriptError> {
        let ast = self.compile(text)?;
        self.eval(&ast)
    }

    /// What is defined now, to come back to.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { scope: self.scope.clone(), functions: self.functions.clone() }
    }

    /// Variables and functions are again as they were then. What was done to the device stays done.
    pub fn back_to(&mut self, mark: Mark) {
        let Mark { scope, functions } = mark;
        (self.scope, self.functions) = (scope, functions);
    }

    /// A value in the words that `print` has for it.
    #[must_use]
    pub fn text_of(&self, value: &Dynamic) -> String {
        let mut scope = Scope::new();
        scope.push_dynamic("it", value.clone());
        let text = self.engine.eval_expression_with_scope(&mut scope, "to_string(it)");
        text.unwrap_or_else(|_| value.to_string())
    }

    /// What can be named now: functions, variables, and functions that were defined.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = api::entries().map(|entry| entry.name.to_owned()).collect();
        names.extend(self.scope.iter().map(|(name, ..)| name.to_owned()));
        names.extend(self.functions.iter_functions().map(|function| function.name.to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The session that it works on.
    #[must_use]
    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }
}

/// A script that runs wild must not take the machine with it.
fn limit(engine: &mut Engine) {
    engine.set_max_call_levels(64);
    engine.set_max_expr_depths(128, 64);
    engine.set_max_string_size(16 << 20);
    engine.set_max_array_size(4 << 20);
    engine.set_max_map_size(1 << 16);
    engine.set_strict_variables(true);
    // What is written is what runs, and lines are those of the file.
    engine.set_optimization_level(OptimizationLevel::None);
}

/// A value as it is printed; a text in quotes, so that it is seen to be one.
fn shown(value: &Dynamic) -> String {
    match value.read_lock::<rhai::ImmutableString>() {
        Some(text) => text.to_string(),
        None => value.to_string(),
    }
}

fn of_syntax(error: &ParseError) -> ScriptError {
    let (line, column) = (error.position().line(), error.position().position());
    ScriptError {
        text: error.err_type().to_string(),
        line,
        column,
        chain: Vec::new(),
        kind: ErrorKind::Syntax,
    }
}

fn of_result(mut error: EvalAltResult) -> Result<Dynamic, ScriptError> {
    if let EvalAltResult::Exit(value, _) = error {
        return Ok(value);
    }
    let end = End::of(&error);
    let mut chain = Vec::new();
    let mut position = error.position();
    while let EvalAltResult::ErrorInFunctionCall(name, _, inner, at) = error {
        chain.insert(0, (name, at.line()));
        position = if inner.position() == Position::NONE { at } else { inner.position() };
        error = *inner;
    }
    let (text, kind) = match end {
        Some(end) => (end.says(), kind_of(end)),
        None => (said(error), ErrorKind::Failed),
    };
    Err(ScriptError { text, line: position.line(), column: position.position(), chain, kind })
}

fn kind_of(end: End) -> ErrorKind {
    match end {
        End::Skipped(reason) => ErrorKind::Skipped(reason),
        End::TimedOut(_) | End::Interrupted => ErrorKind::Ended,
    }
}

/// The error without its position, which is told apart, and without "Runtime error" before our own words.
fn said(mut error: EvalAltResult) -> String {
    // It is told apart.
    let _ = error.take_position();
    match error {
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        error => error.to_string(),
    }
}

fn of_panic(panic: &(dyn std::any::Any + Send)) -> ScriptError {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    let text = format!("a function of this program panicked, which is a bug of it: {said}");
    ScriptError { text, line: None, column: None, chain: Vec::new(), kind: ErrorKind::Panicked }
}
