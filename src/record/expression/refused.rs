//! What is refused before a row is seen.

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, Program};

/// Functions that are found by the name before their point: `optional.of(x)`.
const OF_NAMESPACES: [&str; 3] = ["of", "none", "ofNonZeroValue"];

/// What could go wrong with every row, or go one way today and another way tomorrow.
pub(super) fn check(program: &Program, env: &Arc<Env>) -> Result<(), String> {
    let references = program.references();
    let mut functions = references.functions();
    functions.sort_unstable();
    let is_name = |name: &&&str| name.starts_with(|c: char| c.is_ascii_alphabetic()) && !OF_NAMESPACES.contains(name);
    if let Some(unknown) = functions.iter().filter(is_name).find(|name| !is_known(name, env)) {
        return Err(format!("no function is named {unknown:?}"));
    }
    let mut found = Found::default();
    found.look(program.expression());
    if found.map && found.range {
        let reason = "what {…} holds has no order, so that a loop over it would not always give the same";
        return Err(format!("an expression can not have both {{…}} and a loop such as exists or map: {reason}"));
    }
    Ok(())
}

/// Whether there is such a function. Only calling it says so: without fitting arguments it is another error.
fn is_known(name: &str, env: &Arc<Env>) -> bool {
    [format!("{name}()"), format!("''.{name}()")].iter().any(|call| match env.compile(call) {
        Ok(program) => !matches!(
            program.execute(&Context::with_env(env.clone())),
            Err(ExecutionError::UndeclaredReference(unknown)) if *unknown == name
        ),
        Err(_) => true,
    })
}

#[derive(Default)]
struct Found {
    /// `{…}`
    map: bool,
    /// `exists`, `map` and the like.
    range: bool,
}

impl Found {
    fn look(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(|part| self.look(part)),
            Expr::Comprehension(of) => {
                self.range = true;
                let parts = [&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result];
                parts.into_iter().for_each(|part| self.look(part));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.look(element)),
            Expr::Select(select) => self.look(&select.operand),
            Expr::Map(map) => {
                self.map = true;
                map.entries.iter().for_each(|entry| self.entry(&entry.expr));
            }
            Expr::Struct(of) => of.entries.iter().for_each(|entry| self.entry(&entry.expr)),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.look(&field.value),
            EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(|part| self.look(part)),
        }
    }
}
