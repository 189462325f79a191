//! Mermaid flowcharts.

use std::fmt::Write;

use super::{Graph, Shape};

pub(super) fn write(graph: &Graph) -> String {
    let mut out = "flowchart LR\n".to_owned();
    for (n, vertex) in graph.vertices.iter().enumerate() {
        let (open, close) = match vertex.shape {
            Shape::Source => ("([", "])"),
            Shape::Table => ("[(", ")]"),
            Shape::Operator => ("{{", "}}"),
            Shape::Sink => ("[/", "/]"),
            Shape::DeadLetters => ("[", "]"),
        };
        // Numbers, not names: mermaid takes "end", "a--b" and others as its own words.
        let lines: Vec<String> = vertex.lines.iter().map(|line| text(line)).collect();
        writeln!(out, "  n{n}{open}\"{}\"{close}", lines.join("<br/>")).expect("writing to a string can not fail");
    }
    for edge in &graph.edges {
        let arrow = if edge.dashed { "-.->" } else { "-->" };
        writeln!(out, "  n{} {arrow}|\"{}\"| n{}", edge.from, text(&edge.label), edge.to)
            .expect("writing to a string can not fail");
    }
    out
}

/// Inside of quotes mermaid still reads HTML and its own `#code;`.
fn text(text: &str) -> String {
    let escape = |c| match c {
        '"' => "#quot;".to_owned(),
        '#' => "#35;".to_owned(),
        '&' => "#amp;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        // A label between backticks would be markdown.
        '`' => "#96;".to_owned(),
        '\n' => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
