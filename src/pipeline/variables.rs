//! `${VAR}` in the values of a pipeline file.

use super::problem::{Place, Report};
use super::tree::{Content, Node, Scalar};

/// Puts the values of variables into all values of the tree; keys are left alone.
///
/// `${VAR}` is the variable's value, `${VAR:-text}` the same with a default for a missing or empty one, `$$` a `$`.
pub(super) fn substitute(node: &mut Node, source: &str, env: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    walk(node, "", &mut Variables { source, env, report });
}

fn walk(node: &mut Node, path: &str, variables: &mut Variables<'_>) {
    match &mut node.content {
        Content::Scalar(scalar) => variables.fill(scalar, node.at, path),
        Content::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{n}]"), variables);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                walk(&mut entry.value, &super::join(path, &entry.key), variables);
            }
        }
    }
}

struct Variables<'a> {
    source: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    report: &'a mut Report,
}

/// A piece of a text with variables in it.
#[derive(Debug, PartialEq)]
enum Piece<'t> {
    Text(&'t str),
    Variable { name: &'t str, default: Option<&'t str> },
}

impl Variables<'_> {
    fn fill(&mut self, scalar: &mut Scalar, at: Place, path: &str) {
        if !scalar.text.contains('$') {
            return;
        }
        let pieces = match pieces(&scalar.text) {
            Ok(pieces) => pieces,
            Err(message) => {
                scalar.unknown = true;
                let hint = "write \"$$\" for a dollar sign".to_owned();
                return self.report.problem(at, path, format!("{path}: {message}"), Some(hint));
            }
        };
        let mut text = String::with_capacity(scalar.text.len());
        let mut seen = 0;
        for piece in pieces {
            let (name, default) = match piece {
                Piece::Text(part) => {
                    text.push_str(part);
                    continue;
                }
                Piece::Variable { name, default } => (name, default),
            };
            scalar.substituted = true;
            let value = (self.env)(name).filter(|value| default.is_none() || !value.is_empty());
            match value.as_deref().or(default) {
                Some(value) => text.push_str(value),
                None => {
                    scalar.unknown = true;
                    let at = self.place(scalar.source, seen, at);
                    let hint = format!("set it, or give a default: \"${{{name}:-…}}\"");
                    self.report.problem(at, path, format!("{path}: the variable {name} is not set"), Some(hint));
                }
            }
            seen += 1;
        }
        scalar.text = text;
    }

    /// Where the variable with this number starts in the source of a scalar; the scalar's own place if escapes hide it.
    fn place(&self, (start, end): (usize, usize), number: usize, otherwise: Place) -> Place {
        let mut at = otherwise;
        let mut left = number;
        let mut chars = self.source.chars().skip(start).take(end.saturating_sub(start)).peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('$', Some('$')) => {
                    chars.next();
                    at.column += 1;
                }
                ('$', Some('{')) if left == 0 => return at,
                ('$', Some('{')) => left -= 1,
                _ => {}
            }
            at = if c == '\n' { Place { line: at.line + 1, column: 1 } } else { Place { column: at.column + 1, ..at } };
        }
        otherwise
    }
}

/// Takes a text apart.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        pieces.push(Piece::Text(before));
        rest = match from.as_bytes().get(1) {
            Some(b'$') => {
                pieces.push(Piece::Text("$"));
                &from[2..]
            }
            Some(b'{') => {
                let end = from.find('}').ok_or_else(|| format!("\"${{\" without \"}}\" in {text:?}"))?;
                let (name, default) = match from[2..end].split_once(":-") {
                    Some((name, default)) => (name, Some(default)),
                    None => (&from[2..end], None),
                };
                if !is_variable(name) {
                    return Err(format!(
                        "{name:?} is not the name of a variable: letters, digits and \"_\" in {text:?}"
                    ));
                }
                pieces.push(Piece::Variable { name, default });
                &from[end + 1..]
            }
            // A lone "$" is what it is.
            _ => {
                pieces.push(Piece::Text("$"));
                &from[1..]
            }
        };
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn is_variable(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let yaml = format!("k: {text}\n");
        let mut report = Report::default();
        let mut root = super::super::tree::read(&yaml, &mut report).unwrap();
        let env = |name: &str| match name {
            "HOME" => Some("/home/u".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        substitute(&mut root, &yaml, &env, &mut report);
        report.finish().map_err(|problems| problems.to_string())?;
        let Content::Scalar(scalar) = &root.get("k").unwrap().value.content else { panic!("not a scalar") };
        Ok(scalar.text.clone())
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(filled("${HOME}/x").unwrap(), "/home/u/x");
        assert_eq!(filled("\"a${EMPTY}b$$c$d\"").unwrap(), "ab$c$d");
        assert_eq!(filled("${NONE:-./d}-${EMPTY:-e}-${HOME:-f}").unwrap(), "./d-e-/home/u");
        assert_eq!(filled("$${HOME}").unwrap(), "${HOME}");
    }

    #[test]
    fn a_missing_variable_is_reported_where_it_stands() {
        let error = filled("\"$$ ${HOME} é ${NONE}\"").unwrap_err();
        assert_eq!(
            error,
            "1:18: k: the variable NONE is not set; set it, or give a default: \"${NONE:-…}\"\n1 problem"
        );
        assert!(filled("${HOME").unwrap_err().contains("\"${\" without \"}\""));
        assert!(filled("${a b}").unwrap_err().contains("is not the name of a variable"));
    }
}
