//! Plots: bars beside each other, and lines that show how something grows. Both have logarithmic scales, on which equal ratios are
//! equal lengths.

use super::summary::short;
use super::svg::{Anchor, Drawing, WIDTH};

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Who.
    pub label: String,
    /// How it is drawn: a class of colours.
    pub class: &'static str,
    /// How much, more than 0.
    pub value: f64,
}

/// Bars with a heading, which may be empty.
pub type Group = (String, Vec<Bar>);

/// One line: its name and its points, both coordinates more than 0.
pub type Series = (String, Vec<(f64, f64)>);

const LEFT: f64 = 110.0;
const RIGHT: f64 = 70.0;
const ROW: f64 = 20.0;
const TOP: f64 = 36.0;
/// Of the area of lines.
const HEIGHT: f64 = 300.0;

/// Bars from the left, each with its number.
pub fn bars(title: &str, axis: &str, groups: &[Group]) -> String {
    let mut drawing = Drawing::default();
    let all = || groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value);
    // The shortest bar is to be seen, too.
    let scale = Scale::around(all(), 0.5, (LEFT, WIDTH - RIGHT));
    let ticks = scale.ticks();
    drawing.text("title", Anchor::Start, 8.0, 20.0, title);
    let mut y = TOP;
    for (name, bars) in groups {
        if !name.is_empty() {
            drawing.text("small", Anchor::Start, 8.0, y + 14.0, name);
            y += ROW;
        }
        // Lines go through bars, not through headings.
        let bottom = y + ROW * bars.len() as f64;
        for tick in &ticks {
            drawing.line("grid", (scale.place(*tick), y), (scale.place(*tick), bottom));
        }
        drawing.line("axis", (LEFT, y), (LEFT, bottom));
        for bar in bars {
            let end = scale.place(bar.value);
            drawing.text("", Anchor::End, LEFT - 8.0, y + 14.0, &bar.label);
            drawing.bar(bar.class, (LEFT, y + 3.0), (end - LEFT, ROW - 6.0));
            drawing.text("", Anchor::Start, end + 6.0, y + 14.0, &short(bar.value));
            y += ROW;
        }
    }
    let bottom = y;
    for tick in ticks {
        drawing.text("small", Anchor::Middle, scale.place(tick), bottom + 16.0, &short(tick));
    }
    drawing.text("small", Anchor::Middle, f64::midpoint(LEFT, WIDTH - RIGHT), bottom + 34.0, axis);
    drawing.finish(title, bottom + 44.0)
}

/// Lines, with their names above.
pub fn lines(title: &str, x_axis: &str, y_axis: &str, series: &[Series]) -> String {
    let mut drawing = Drawing::default();
    let points = || series.iter().flat_map(|(_, points)| points);
    let (left, top) = (64.0, TOP + 28.0 + ROW);
    let bottom = top + HEIGHT;
    let across = Scale::around(points().map(|point| point.0), 1.0, (left, WIDTH - 24.0));
    let up = Scale::around(points().map(|point| point.1), 1.0, (bottom, top));
    drawing.text("title", Anchor::Start, 8.0, 20.0, title);
    names(&mut drawing, series);
    drawing.text("small", Anchor::Start, 8.0, top - 12.0, y_axis);
    for tick in up.ticks() {
        let y = up.place(tick);
        drawing.line("grid", (left, y), (WIDTH - 24.0, y));
        drawing.text("small", Anchor::End, left - 8.0, y + 4.0, &short(tick));
    }
    let mut measured: Vec<f64> = points().map(|point| point.0).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    for value in measured {
        let x = across.place(value);
        drawing.line("axis", (x, bottom), (x, bottom + 5.0));
        drawing.text("small", Anchor::Middle, x, bottom + 20.0, &short(value));
    }
    drawing.text("small", Anchor::Middle, f64::midpoint(left, WIDTH - 24.0), bottom + 38.0, x_axis);
    drawing.line("axis", (left, bottom), (WIDTH - 24.0, bottom));
    drawing.line("axis", (left, top), (left, bottom));
    for (number, (_, points)) in series.iter().enumerate() {
        let places: Vec<_> = points.iter().map(|(x, y)| (across.place(*x), up.place(*y))).collect();
        drawing.curve(colour(number), &places);
    }
    drawing.finish(title, bottom + 48.0)
}

/// The names of lines, side by side.
fn names(drawing: &mut Drawing, series: &[Series]) {
    let width = (WIDTH - 16.0) / series.len().max(1) as f64;
    for (number, (name, _)) in series.iter().enumerate() {
        let x = 8.0 + width * number as f64;
        drawing.curve(colour(number), &[(x + 2.0, TOP + 8.0), (x + 20.0, TOP + 8.0)]);
        drawing.text("", Anchor::Start, x + 28.0, TOP + 12.0, name);
    }
}

fn colour(number: usize) -> &'static str {
    ["c0", "c1", "c2", "c3"][number % 4]
}

/// Values as places on an axis.
#[derive(Clone, Copy, Debug)]
struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// One on which all these have a place; it begins at that part of the least one.
    fn around(values: impl Iterator<Item = f64>, part: f64, (from, to): (f64, f64)) -> Scale {
        let (least, most) =
            values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (value.min(least), value.max(most)));
        let (least, most) = (round_down(least.min(most) * part), round_up(most));
        Scale { least, most: if most > least { most } else { least * 10.0 }, from, to }
    }

    fn place(self, value: f64) -> f64 {
        let part = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + (self.to - self.from) * part.clamp(0.0, 1.0)
    }

    /// Values to be named, few enough that their names have room.
    fn ticks(self) -> Vec<f64> {
        let all: &[f64] = if self.most / self.least > 500.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
        let ticks = decades.flat_map(|decade| all.iter().map(move |step| step * 10f64.powi(decade)));
        ticks.filter(|tick| *tick >= self.least * 0.999 && *tick <= self.most * 1.001).collect()
    }
}

/// The next of 1, 2, 5, 10 … that is not more.
fn round_down(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [5.0, 2.0].map(|step| step * decade).into_iter().find(|step| *step <= value * 1.000_001).unwrap_or(decade)
}

/// The next of 1, 2, 5, 10 … that is not less.
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|step| step * decade)
        .into_iter()
        .find(|step| *step >= value * 0.999_999)
        .unwrap_or(10.0 * decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_room_for_all() {
        assert_eq!([0.9, 1.0, 3.0, 7.0, 20.0].map(round_down), [0.5, 1.0, 2.0, 5.0, 20.0]);
        assert_eq!([0.9, 1.0, 3.0, 7.0, 20.0].map(round_up), [1.0, 1.0, 5.0, 10.0, 20.0]);
        let scale = Scale::around([3.0, 40.0].into_iter(), 1.0, (0.0, 100.0));
        assert_eq!((scale.least, scale.most), (2.0, 50.0));
        assert_eq!((scale.place(2.0), scale.place(50.0), scale.place(10.0)), (0.0, 100.0, 50.0));
        let ticks: Vec<String> = scale.ticks().into_iter().map(short).collect();
        assert_eq!(ticks, ["2", "5", "10", "20", "50"]);
    }

    #[test]
    fn names_of_ticks_have_room() {
        for most in [1.0, 3.0, 450.0, 7e3, 2e6] {
            let scale = Scale::around([1.0, most].into_iter(), 0.5, (LEFT, WIDTH - RIGHT));
            let places: Vec<f64> = scale.ticks().into_iter().map(|tick| scale.place(tick)).collect();
            assert!(places.len() >= 2 && places.windows(2).all(|two| two[1] - two[0] > 30.0), "{most}: {places:?}");
        }
    }

    #[test]
    fn bars_are_in_order_and_texts_are_escaped() {
        let bar = |label: &str, value| Bar { label: label.into(), class: "other", value };
        let svg = bars("a < b", "s", &[("case".into(), vec![bar("x&y", 1.0), bar("z", 100.0)])]);
        assert!(svg.contains("a &lt; b") && svg.contains("x&amp;y") && svg.starts_with("<svg"));
        assert_eq!(svg.matches("class=\"other\"").count(), 2);
        let wide = |value: f64| {
            format!(
                "width=\"{:.1}\"",
                Scale::around([1.0, 100.0].into_iter(), 0.5, (LEFT, WIDTH - RIGHT)).place(value) - LEFT
            )
        };
        assert!(svg.contains(&wide(1.0)) && svg.contains(&wide(100.0)));
    }

    #[test]
    fn a_line_for_each_series() {
        let svg = lines("t", "x", "y", &[("a".into(), vec![(1.0, 2.0), (10.0, 3.0)]), ("b".into(), vec![(1.0, 5.0)])]);
        // Each once more for its name.
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("<circle").count(), 3 + 4);
    }
}
