//! Statements, one after the other, on one session. What one defines, the next one sees.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use rhai::module_resolvers::FileModuleResolver;
use rhai::{AST, Dynamic, Engine, Module, OptimizationLevel, Scope, Token};

use super::error::{ScriptError, of_panic, of_syntax, of_thrown, shown};
use super::{Session, api};

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
        give_back_null(&mut engine);
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
    /// [`super::ErrorKind::Syntax`].
    pub fn compile(&self, text: &str) -> Result<AST, ScriptError> {
        // A file may begin with the line of an interpreter; as a comment it keeps its place.
        let text = text.strip_prefix("#!").map_or(Cow::Borrowed(text), |rest| format!("// {rest}").into());
        self.engine.compile_with_scope(&self.scope, &*text).map_err(|error| of_syntax(&error))
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
            Ok(Err(error)) => of_thrown(*error),
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

/// Rhai keeps the word `null` for itself and does nothing with it; here it is a method of chains and channels.
fn give_back_null(engine: &mut Engine) {
    #[expect(
        deprecated,
        reason = "Rhai's mark for what may change in a later version; there is no other way"
    )]
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word) if word.as_str() == "null" => Token::Identifier(word),
        token => token,
    });
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
