//! The time of each epoch, drawn.

use std::fmt::Write;

use super::report::Report;
use super::settings::{Running, Workload};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
/// Left, top, right, bottom of what is drawn into.
const FRAME: (f64, f64, f64, f64) = (70.0, 44.0, 840.0, 270.0);
/// With more epochs than this, a point stands for the slowest of several.
const MOST_POINTS: usize = 1_500;

/// Draws the time of each epoch after the bulk, as SVG; with two lines for the median and the 99th percentile. `name` is that
/// of the benchmark.
pub fn plot<S>(report: &Report<S>, name: &str, workload: &Workload, running: &Running) -> String {
    let (left, top, right, bottom) = FRAME;
    let points = points(&report.epochs_ms);
    let most = nice(points.iter().map(|point| point.1).fold(0.0, f64::max));
    let epochs = report.epochs_ms.len();
    let x = |epoch: f64| left + (right - left) * epoch / (epochs.max(2) - 1) as f64;
    let y = |ms: f64| bottom - (bottom - top) * ms / most;

    let mut svg = String::new();
    // Writing to a string can not fail.
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">"#
    );
    let _ = writeln!(svg, r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##);
    text(&mut svg, left, 24.0, "start", &title(name, workload, running));
    for step in 0..=4 {
        let ms = most * f64::from(step) / 4.0;
        let at = y(ms);
        let _ = writeln!(svg, r##"<path d="M{left} {at:.1}H{right}" stroke="#e3e7ee"/>"##);
        text(&mut svg, left - 8.0, at + 4.0, "end", &format!("{} ms", decimals(ms)));
    }
    let mut line = String::new();
    for (number, (epoch, ms)) in points.iter().enumerate() {
        let _ = write!(line, "{}{:.1} {:.1}", if number == 0 { 'M' } else { 'L' }, x(*epoch as f64), y(*ms));
    }
    let _ = writeln!(svg, r##"<path d="{line}" fill="none" stroke="#0b6e4f"/>"##);
    for phase in report.phases.iter().filter(|phase| phase.name == "epochs") {
        for (name, ms) in [("p50", phase.p50_ms), ("p99", phase.p99_ms)] {
            let at = y(ms);
            let _ = writeln!(svg, r##"<path d="M{left} {at:.1}H{right}" stroke="#b3541e" stroke-dasharray="4 3"/>"##);
            text(&mut svg, right, at - 4.0, "end", &format!("{name} {} ms", decimals(ms)));
        }
    }
    text(&mut svg, left, bottom + 20.0, "start", "1");
    text(&mut svg, right, bottom + 20.0, "end", &epochs.to_string());
    text(&mut svg, (left + right) / 2.0, bottom + 20.0, "middle", "epoch");
    svg.push_str("</svg>\n");
    svg
}

const INK: &str = "#1c2430";

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{said}</text>"#);
}

fn title(name: &str, workload: &Workload, running: &Running) -> String {
    let bulk = if workload.bulk > 0 { format!(" after {}", workload.bulk) } else { String::new() };
    let lines = workload.batch.unwrap_or(workload.annotations);
    let (mean, assets, workers) = (workload.mean_length, workload.assets, running.workers);
    format!(
        "{name}, time per epoch: {lines} annotations an epoch{bulk}, mean length {mean}, {assets} assets, workers: {workers}"
    )
}

/// Place and time of each epoch, or of the slowest of several neighbours.
fn points(epochs_ms: &[f64]) -> Vec<(usize, f64)> {
    let several = epochs_ms.len().div_ceil(MOST_POINTS).max(1);
    let slowest = |(number, chunk): (usize, &[f64])| {
        let at = (0..chunk.len()).max_by(|a, b| chunk[*a].total_cmp(&chunk[*b])).unwrap_or(0);
        (number * several + at, chunk[at])
    };
    epochs_ms.chunks(several).enumerate().map(slowest).collect()
}

/// The least of 1, 2, 5, 10, 20 … that is not less; for the end of an axis.
fn nice(most: f64) -> f64 {
    let mut scale = 1e-3;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if step * scale >= most {
                return step * scale;
            }
        }
        scale *= 10.0;
    }
}

fn decimals(ms: f64) -> String {
    if ms >= 100.0 || ms == 0.0 {
        format!("{ms:.0}")
    } else if ms >= 1.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, end) in [(0.0, 0.001), (0.9, 1.0), (1.1, 2.0), (4.9, 5.0), (5.1, 10.0), (730.0, 1_000.0)] {
            assert!((nice(most) / end - 1.0).abs() < 1e-9, "{most}: {}", nice(most));
        }
    }

    #[test]
    fn the_slowest_of_many_epochs_is_seen() {
        let mut epochs = vec![1.0; 10 * MOST_POINTS];
        epochs[777] = 9.0;
        let points = points(&epochs);
        assert_eq!(points.len(), MOST_POINTS);
        assert!(points.contains(&(777, 9.0)));
        assert_eq!(super::points(&[3.0, 2.0]), [(0, 3.0), (1, 2.0)]);
    }
}
