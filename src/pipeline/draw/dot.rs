//! Graphviz.

use std::fmt::Write;

use super::{Graph, Shape};

pub(super) fn write(graph: &Graph) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n", text(&graph.name));
    for (n, vertex) in graph.vertices.iter().enumerate() {
        let shape = match vertex.shape {
            Shape::Source => "oval",
            Shape::Table => "cylinder",
            Shape::Operator => "hexagon",
            Shape::Sink => "folder",
            Shape::DeadLetters => "note",
        };
        let lines: Vec<String> = vertex.lines.iter().map(|line| text(line)).collect();
        writeln!(out, "  n{n} [shape={shape}, label=\"{}\"];", lines.join("\\n"))
            .expect("writing to a string can not fail");
    }
    for edge in &graph.edges {
        let style = if edge.dashed { ", style=dashed" } else { "" };
        writeln!(out, "  n{} -> n{} [label=\"{}\"{style}];", edge.from, edge.to, text(&edge.label))
            .expect("writing to a string can not fail");
    }
    out.push_str("}\n");
    out
}

fn text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}
