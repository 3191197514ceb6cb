//! Pictures of measurements as SVG: lines, percentile curves, bars.
//!
//! The ground is white and text is dark whatever the reader's theme. Axes carry their units in their labels. The
//! same data gives the same bytes.

mod scale;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged as _;
use plotters::prelude::*;

use crate::load::Histogram;
use crate::stats::Spread;
use scale::Scale;

const SIZE: (u32, u32) = (880, 440);
/// Room beside a chart for the names of its lines.
const LEGEND_WIDTH: i32 = 210;

const FONT: &str = "sans-serif";

/// Colours that are told apart by people who see fewer of them (Okabe and Ito, 2008), dark ones first.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// One axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Whether equal distances are equal ratios. Values at or below zero are then left out.
    pub log: bool,
}

impl Axis {
    /// A linear axis that includes zero.
    #[must_use]
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false }
    }

    /// A logarithmic axis.
    #[must_use]
    pub fn log(label: &str) -> Self {
        Self { label: label.to_owned(), log: true }
    }

    fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        if self.log { Scale::log(values) } else { Scale::linear(values) }
    }
}

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Its points, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// A line.
    #[must_use]
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points }
    }
}

/// A named bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Below the bar.
    pub name: String,
    /// The bar reaches to the median, its whiskers from the smallest to the largest sample.
    pub spread: Spread,
}

/// Lines over two axes.
///
/// Errors: there is nothing to draw.
pub fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let (x_scale, y_scale) = (x.scale(points().map(|point| point.0)), y.scale(points().map(|point| point.1)));
    draw_lines(title, (&x.label, x_scale), (&y.label, y_scale), (lines, &[]))
}

/// A stretch of the horizontal axis in which something was different, such as a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Stands above it: a letter or a number that a text explains.
    pub name: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends; a moment is drawn as a line.
    pub to: f64,
}

/// Lines over two axes, with stretches behind them that are marked.
///
/// Errors: there is nothing to draw.
pub fn lines_in_bands(title: &str, (x, y): (&Axis, &Axis), lines: &[Line], bands: &[Band]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let ends = bands.iter().flat_map(|band| [band.from, band.to]);
    let x_scale = x.scale(points().map(|point| point.0).chain(ends));
    let y_scale = y.scale(points().map(|point| point.1));
    draw_lines(title, (&x.label, x_scale), (&y.label, y_scale), (lines, bands))
}

/// Percentile curves of histograms: how long the fastest 50 %, 90 %, 99 %, ... took, on logarithmic axes.
///
/// Errors: there is nothing to draw.
pub fn percentiles(title: &str, histograms: &[(&str, &Histogram)]) -> Result<String> {
    let milliseconds = |histogram: &Histogram| {
        histogram.curve().into_iter().map(|(quantile, us)| (quantile, us / 1_000.0)).collect::<Vec<_>>()
    };
    let lines: Vec<Line> =
        histograms.iter().map(|(name, histogram)| Line::new(name, milliseconds(histogram))).collect();
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let x = Scale::quantile(points().map(|point| point.0));
    let y = Scale::log(points().map(|point| point.1));
    draw_lines(title, ("share of requests that took no longer", x), ("latency (ms)", y), (&lines, &[]))
}

/// Bars side by side with whiskers, from zero.
///
/// Errors: there is nothing to draw.
pub fn bars(title: &str, y_label: &str, bars: &[Bar]) -> Result<String> {
    let y = Scale::linear(bars.iter().map(|bar| bar.spread.max));
    // Bars stand at 1, 2, 3, ...; half a place is left at both ends.
    let x = Scale::places(bars.len());
    draw(|root| {
        let mut chart = chart(root, title).build_cartesian_2d(x, y.clone()).map_err(failed)?;
        let name = |place: &f64| {
            let bar = (*place as usize).checked_sub(1).and_then(|index| bars.get(index));
            bar.map_or_else(String::new, |bar| bar.name.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .y_desc(y_label)
            .x_label_formatter(&name)
            .y_label_formatter(&|value| y.format(*value))
            .label_style((FONT, 14).into_font())
            .draw()
            .map_err(failed)?;
        for (index, bar) in bars.iter().enumerate() {
            let (middle, colour) = ((index + 1) as f64, PALETTE[index % PALETTE.len()]);
            let Spread { min, median, max, .. } = bar.spread;
            let body = Rectangle::new([(middle - 0.3, 0.0), (middle + 0.3, median)], colour.filled());
            let whisker = PathElement::new(vec![(middle, min), (middle, max)], BLACK.stroke_width(2));
            chart.draw_series([body]).map_err(failed)?;
            chart.draw_series([whisker]).map_err(failed)?;
        }
        Ok(())
    })
}

fn draw_lines(
    title: &str,
    (x_label, x): (&str, Scale),
    (y_label, y): (&str, Scale),
    (lines, bands): (&[Line], &[Band]),
) -> Result<String> {
    draw(|root| {
        let mut chart = chart(root, title);
        chart.margin_right(LEGEND_WIDTH + 14);
        let mut chart = chart.build_cartesian_2d(x.clone(), y.clone()).map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(&|value| x.format(*value))
            .y_label_formatter(&|value| y.format(*value))
            .label_style((FONT, 14).into_font())
            .draw()
            .map_err(failed)?;
        for Band { name, from, to } in bands {
            let (low, high) = (y.range().start, y.range().end);
            let area = Rectangle::new([(*from, low), (*to, high)], BLACK.mix(0.09).filled());
            let begin = PathElement::new(vec![(*from, low), (*from, high)], BLACK.mix(0.35).stroke_width(1));
            let label = Text::new(name.clone(), (*from, high), (FONT, 14));
            chart.draw_series([area]).map_err(failed)?;
            chart.draw_series([begin]).map_err(failed)?;
            chart.draw_series([label]).map_err(failed)?;
        }
        for (line, colour) in lines.iter().zip(PALETTE.into_iter().cycle()) {
            let points = line.points.iter().copied().filter(|point| x.holds(point.0) && y.holds(point.1));
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).map_err(failed)?;
        }
        legend(root, lines)
    })
}

/// Names the lines beside the chart, where they hide nothing.
fn legend(root: &Area<'_>, lines: &[Line]) -> Result<()> {
    let left = SIZE.0.cast_signed() - LEGEND_WIDTH;
    for (nth, (line, colour)) in (0..).zip(lines.iter().zip(PALETTE.into_iter().cycle())) {
        let y = 60 + 22 * nth;
        let sample = PathElement::new(vec![(left, y), (left + 20, y)], colour.stroke_width(3));
        root.draw(&sample).map_err(failed)?;
        root.draw(&Text::new(line.name.as_str(), (left + 28, y - 6), (FONT, 15))).map_err(failed)?;
    }
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(picture: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        picture(&root)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn chart<'a, 'b>(root: &'a Area<'b>, title: &str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(root);
    chart.caption(title, (FONT, 18)).margin(14).x_label_area_size(46).y_label_area_size(76);
    chart
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("draw a picture: {error}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn example() -> Result<String> {
        let rising = Line::new("rising", vec![(0.0, 1.0), (10.0, 1_000.0)]);
        let falling = Line::new("falling & <odd>", vec![(0.0, 1_000.0), (5.0, 0.0), (10.0, 1.0)]);
        lines("Two lines", &Axis::linear("time (s)"), &Axis::log("rate (1/s)"), &[rising, falling])
    }

    #[test]
    fn lines_carry_titles_units_and_names() {
        let svg = example().unwrap();
        for text in ["Two lines", "time (s)", "rate (1/s)", "rising", "falling &amp; &lt;odd&gt;"] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
        // Each line's sample in the legend.
        assert_eq!(svg.matches("stroke-width=\"3\"").count(), 2);
        // Decades are labelled.
        for label in ["\n1\n", "\n10\n", "\n100\n", "\n1k\n"] {
            assert!(svg.contains(label), "{label:?} is missing in {svg}");
        }
    }

    #[test]
    fn bands_are_named_and_lie_behind_the_lines() {
        let line = Line::new("rate", vec![(0.0, 10.0), (60.0, 20.0)]);
        let band = Band { name: "A".to_owned(), from: 10.0, to: 20.0 };
        let axes = (&Axis::linear("time (s)"), &Axis::linear("1/s"));
        let svg = lines_in_bands("Faults", axes, &[line], &[band]).unwrap();
        let (label, area) = (svg.find("\nA\n").unwrap(), svg.find("opacity=\"0.09\"").unwrap());
        assert!(area < label && label < svg.find("rate").unwrap(), "{svg}");
    }

    #[test]
    fn the_same_data_gives_the_same_bytes() {
        assert_eq!(example().unwrap(), example().unwrap());
    }

    #[test]
    fn percentile_curves_have_an_axis_of_nines() {
        let mut histogram = Histogram::default();
        for ms in 1..=10_000 {
            histogram.record(Duration::from_millis(ms));
        }
        let svg = percentiles("Latency", &[("open loop", &histogram)]).unwrap();
        for label in ["\n90%\n", "\n99%\n", "\n99.9%\n", "latency (ms)", "open loop"] {
            assert!(svg.contains(label), "{label:?} is missing in {svg}");
        }
    }

    #[test]
    fn bars_are_named_and_start_at_zero() {
        let bar =
            |name: &str, samples: &[f64]| Bar { name: name.to_owned(), spread: Spread::of(samples).unwrap() };
        let svg =
            bars("Rate", "answers/s", &[bar("ours", &[90.0, 100.0]), bar("theirs", &[50.0, 60.0])]).unwrap();
        for text in ["\nours\n", "\ntheirs\n", "answers/s", "\n0\n", "\n100\n"] {
            assert!(svg.contains(text), "{text:?} is missing in {svg}");
        }
    }

    #[test]
    fn nothing_to_draw_is_an_empty_frame_and_not_a_panic() {
        assert!(lines("Empty", &Axis::linear("x"), &Axis::log("y"), &[]).is_ok());
        assert!(bars("Empty", "y", &[]).is_ok());
        assert!(percentiles("Empty", &[("none", &Histogram::default())]).is_ok());
    }
}
