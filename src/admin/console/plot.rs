//! Plots of the last day as SVG: lines over time, with a scale, a title, and what they show in words. Pure.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 8.0;

/// A line of a plot.
pub(super) struct Series {
    /// Its name, for the legend.
    pub(super) name: &'static str,
    /// Its look in the style sheet: `a`, `b` or `c`.
    pub(super) look: &'static str,
    /// Values at even distances, the last one now; a gap where nothing is known.
    pub(super) points: Vec<Option<f64>>,
}

/// A plot; `unit` goes behind numbers, and `hours` is what it goes back.
pub(super) fn plot(title: &str, unit: &str, hours: u32, series: &[Series]) -> String {
    let known = || series.iter().flat_map(|line| line.points.iter().flatten().copied());
    let highest = round_up(known().fold(0.0, f64::max));
    let words = in_words(title, unit, hours, series);
    let mut out =
        format!("<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{words}\">");
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / highest);
    for part in [0.0, 0.5, 1.0] {
        let value = highest * part;
        let at = y(value);
        let right = WIDTH - RIGHT;
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"scale\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>",
            LEFT - 6.0,
            at + 4.0,
            number(value)
        );
    }
    for (part, anchor) in [(0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")]
    {
        let back = f64::from(hours) * (1.0 - part);
        let label = if back == 0.0 { "now".to_owned() } else { format!("−{} h", number(back)) };
        let at = LEFT + (WIDTH - LEFT - RIGHT) * part;
        let bottom = HEIGHT - 6.0;
        let _ = write!(
            out,
            "<text class=\"scale\" x=\"{at:.1}\" y=\"{bottom:.1}\" text-anchor=\"{anchor}\">{label}</text>"
        );
    }
    for line in series {
        let _ = write!(out, "<path class=\"line {}\" d=\"{}\"/>", line.look, path(&line.points, y));
    }
    out.push_str("</svg>");
    out
}

/// Where a line goes; it begins anew behind a gap.
fn path(points: &[Option<f64>], y: impl Fn(f64) -> f64) -> String {
    let step = (WIDTH - LEFT - RIGHT) / (points.len().saturating_sub(1)).max(1) as f64;
    let (mut out, mut drawing) = (String::new(), false);
    for (index, point) in points.iter().enumerate() {
        match point {
            Some(value) => {
                let letter = if drawing { 'L' } else { 'M' };
                let _ = write!(out, "{letter}{:.1} {:.1}", LEFT + step * index as f64, y(*value));
                // A point alone would not be seen.
                if !drawing {
                    out.push_str("h0.5");
                }
                drawing = true;
            }
            None => drawing = false,
        }
    }
    out
}

/// What a reader that sees no lines is told: the latest and the highest value of each.
fn in_words(title: &str, unit: &str, hours: u32, series: &[Series]) -> String {
    let mut words = format!("{title}, the last {hours} hours.");
    for line in series {
        let known = || line.points.iter().flatten().copied();
        match known().next_back() {
            Some(latest) => {
                let most = known().fold(0.0, f64::max);
                let _ = write!(
                    words,
                    " {}: now {}{unit}, at most {}{unit}.",
                    line.name,
                    number(latest),
                    number(most)
                );
            }
            None => {
                let _ = write!(words, " {}: nothing yet.", line.name);
            }
        }
    }
    words
}

/// The next of 1, 2, 5, 10, 20, …; at least 1.
fn round_up(value: f64) -> f64 {
    let mut scale = 1.0;
    while scale < 1e300 {
        if let Some(step) = [1.0, 2.0, 5.0].into_iter().find(|step| step * scale >= value) {
            return step * scale;
        }
        scale *= 10.0;
    }
    scale
}

/// With a decimal where it says something.
fn number(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (value, want) in [(0.0, 1.0), (1.0, 1.0), (1.2, 2.0), (3.0, 5.0), (51.0, 100.0), (2001.0, 5000.0)]
        {
            assert_eq!(round_up(value), want, "{value}");
        }
        assert!(round_up(f64::INFINITY).is_finite());
    }

    #[test]
    fn a_gap_parts_the_line() {
        let points = [Some(0.0), Some(1.0), None, Some(1.0)];
        assert_eq!(path(&points, |value| value), "M52.0 0.0h0.5L245.3 1.0M632.0 1.0h0.5");
    }

    #[test]
    fn a_plot_says_in_words_what_it_shows() {
        let series = [
            Series { name: "received", look: "a", points: vec![Some(4.0), Some(2.5)] },
            Series { name: "failed", look: "b", points: vec![None, None] },
        ];
        let svg = plot("Messages", " a minute", 24, &series);
        let words = "Messages, the last 24 hours. received: now 2.5 a minute, at most 4 a minute. failed: nothing yet.";
        assert!(svg.contains(&format!("aria-label=\"{words}\"")), "{svg}");
    }
}
