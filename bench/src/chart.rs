//! Bar charts as SVG, readable in light and dark and without any font of their own. Groups of bars stand in two columns; in each
//! group a bar's length is relative to the group's base, so that groups of different size can be compared. It does not know what
//! the bars mean.

use std::fmt::Write as _;

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart {
    /// The first line.
    pub(crate) title: String,
    /// What the bars are, and what is good.
    pub(crate) subtitle: String,
    /// The name of the bar whose length is 1 in each group.
    pub(crate) base: String,
    /// Behind every value.
    pub(crate) unit: &'static str,
    /// In rows of two.
    pub(crate) groups: Vec<Group>,
}

/// Bars to be compared with each other.
#[derive(Debug)]
pub(crate) struct Group {
    /// Above the bars.
    pub(crate) title: String,
    /// From above.
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    /// The name, which is also the class that has a colour below.
    pub(crate) name: String,
    /// Stands behind the bar.
    pub(crate) value: f64,
    /// How many times the base it is; the same or nearly so as the ratio of their values.
    pub(crate) ratio: Option<f64>,
}

impl Chart {
    /// The file.
    pub(crate) fn svg(&self) -> String {
        let rows = self.groups.chunks(COLUMNS);
        let heights: Vec<u32> =
            rows.clone().map(|row| row.iter().map(Group::height).max().unwrap_or(0) + GROUP_GAP).collect();
        let height = TOP + heights.iter().sum::<u32>();
        let (title, subtitle) = (escape(&self.title), escape(&self.subtitle));
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
             <title>{title}</title>\n<desc>{subtitle}</desc>\n<style>\n{STYLE}</style>\n\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"28\">{title}</text>\n\
             <text class=\"quiet\" x=\"{MARGIN}\" y=\"48\">{subtitle}</text>\n"
        );
        let mut y = TOP;
        for (row, height) in rows.zip(heights) {
            for (column, group) in row.iter().enumerate() {
                self.group(&mut text, group, MARGIN + column as u32 * (COLUMN + COLUMN_GAP), y);
            }
            y += height;
        }
        text + "</svg>\n"
    }

    fn group(&self, text: &mut String, group: &Group, left: u32, top: u32) {
        let base = group.bars.iter().find(|bar| bar.name == self.base).map(|bar| bar.value);
        let longest = group.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        // Without its base a group has only its own scale.
        let unit = base.filter(|base| *base > 0.0).unwrap_or(longest).max(f64::MIN_POSITIVE);
        let bars_left = left + NAMES;
        let scale = f64::from(BARS) / SCALE_MAX;
        let mut put = |line: String| text.push_str(&(line + "\n"));
        put(format!("<text class=\"group\" x=\"{left}\" y=\"{}\">{}</text>", top + 12, escape(&group.title)));
        let bars_top = top + GROUP_TITLE;
        for (at, bar) in group.bars.iter().enumerate() {
            let y = bars_top + at as u32 * BAR_STEP;
            let ratio = bar.ratio.unwrap_or(bar.value / unit);
            let length = (ratio.min(SCALE_MAX) * scale).max(1.0);
            let (middle, class) = (y + BAR - 2, class(&bar.name));
            let (x, label) = (bars_left - 6, escape(&bar.name));
            put(format!("<text class=\"name {class}\" x=\"{x}\" y=\"{middle}\">{label}</text>"));
            let end = f64::from(bars_left) + length;
            if ratio > SCALE_MAX {
                // Longer than there is room for: its end is cut off aslant.
                let (low, short) = (y + BAR, end - 7.0);
                let path = format!("M{bars_left} {y}H{end:.1}L{short:.1} {low}H{bars_left}Z");
                put(format!("<path class=\"bar {class}\" d=\"{path}\"/>"));
            } else {
                let size = format!("width=\"{length:.1}\" height=\"{BAR}\"");
                put(format!("<rect class=\"bar {class}\" x=\"{bars_left}\" y=\"{y}\" {size}/>"));
            }
            if base.is_some() && ratio >= 1.0 {
                // The base's length, where no value stands in the way.
                let (x, top, low) = (f64::from(bars_left) + scale, y - 2, y + BAR + 2);
                put(format!("<path class=\"line\" d=\"M{x:.1} {top}V{low}\"/>"));
            }
            let times = match base {
                Some(_) if bar.name != self.base => format!(" <tspan class=\"quiet\">×{ratio:.2}</tspan>"),
                _ => String::new(),
            };
            let (x, shown, unit) = (end + 6.0, short(bar.value), self.unit);
            put(format!("<text x=\"{x:.1}\" y=\"{middle}\">{shown} {unit}{times}</text>"));
        }
    }
}

impl Group {
    fn height(&self) -> u32 {
        GROUP_TITLE + self.bars.len() as u32 * BAR_STEP
    }
}

/// Three digits that count, as far as possible.
fn short(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => crate::report::grouped(value.round() as u64),
    }
}

/// A class has only letters.
fn class(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_alphabetic() || *letter == '-').collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => write!(escaped, "{letter}").expect("a String takes all"),
        }
    }
    escaped
}

const STYLE: &str = "\
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; font-size: 12px; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.group { font-size: 13px; font-weight: 600 }
.name { text-anchor: end; fill: #59636e }
.name.cashew { fill: #1f2328; font-weight: 600 }
.quiet { fill: #59636e }
.page { fill: #ffffff }
.line { stroke: #1f2328; fill: none }
.bar { fill: #afb8c1 }
.bar.cashew { fill: #d9660d }
.bar.cashew-epoll { fill: #eeb288 }
.bar.nutcracker { fill: #8c959f }
.bar.direct { fill: #c4cbd2 }
.bar.haproxy { fill: #79aede }
.bar.envoy { fill: #b295d8 }
.bar.mcproxy { fill: #74bd94 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .name, .quiet { fill: #9198a1 }
  .name.cashew { fill: #e6edf3 }
  .page { fill: #0d1117 }
  .line { stroke: #e6edf3 }
  .bar { fill: #57606a }
  .bar.cashew { fill: #f0883e }
  .bar.cashew-epoll { fill: #9c6136 }
  .bar.nutcracker { fill: #7d8590 }
  .bar.direct { fill: #484f58 }
  .bar.haproxy { fill: #3d77ad }
  .bar.envoy { fill: #7d5fae }
  .bar.mcproxy { fill: #3a8a5f }
}
";

/// Sizes in pixels.
const WIDTH: u32 = 2 * MARGIN + COLUMNS as u32 * COLUMN + COLUMN_GAP;
const MARGIN: u32 = 20;
const TOP: u32 = 74;
const COLUMNS: usize = 2;
const COLUMN: u32 = NAMES + BARS + VALUES;
const COLUMN_GAP: u32 = 16;
const NAMES: u32 = 88;
const BARS: u32 = 200;
const VALUES: u32 = 122;
const BAR: u32 = 13;
const BAR_STEP: u32 = 17;
const GROUP_TITLE: u32 = 22;
const GROUP_GAP: u32 = 18;
/// A bar of more than so many times the base is cut off.
const SCALE_MAX: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let bar = |&(name, value): &(&str, f64)| Bar { name: name.to_owned(), value, ratio: None };
        let bars = |values: &[(&str, f64)]| values.iter().map(bar).collect();
        Chart {
            title: "Costs & <more>".to_owned(),
            subtitle: "shorter is better".to_owned(),
            base: "nutcracker".to_owned(),
            unit: "µs",
            groups: vec![
                Group {
                    title: "one".to_owned(),
                    bars: bars(&[("nutcracker", 10.0), ("cashew", 5.0), ("envoy", 45.0)]),
                },
                Group { title: "two".to_owned(), bars: bars(&[("cashew", 1_234.5), ("cashew-epoll", 0.0)]) },
                Group { title: "three".to_owned(), bars: bars(&[("nutcracker", 0.0)]) },
            ],
        }
    }

    #[test]
    fn bars_are_as_long_as_their_ratio() {
        let svg = chart().svg();
        for part in [
            "<title>Costs &amp; &lt;more&gt;</title>",
            "<rect class=\"bar nutcracker\" x=\"108\" y=\"96\" width=\"100.0\" height=\"13\"/>",
            "<rect class=\"bar cashew\" x=\"108\" y=\"113\" width=\"50.0\" height=\"13\"/>",
            "5.00 µs <tspan class=\"quiet\">×0.50</tspan>",
            "<path class=\"bar envoy\" d=\"M108 130H308.0L301.0 143H108Z\"/>",
            "45.0 µs <tspan class=\"quiet\">×4.50</tspan>",
            // Without a base the longest is the measure, and there is no ratio.
            ">1,235 µs</text>",
            "<rect class=\"bar cashew-epoll\"",
            "width=\"1.0\"",
        ] {
            assert!(svg.contains(part), "no {part} in\n{svg}");
        }
        // Over the base itself and what is longer, so that no value is crossed.
        assert_eq!(svg.matches("class=\"line\"").count(), 2);
        let mut chart = chart();
        chart.groups[0].bars[1].ratio = Some(0.75);
        assert!(chart.svg().contains("5.00 µs <tspan class=\"quiet\">×0.75</tspan>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn elements_are_closed_and_inside() {
        let svg = chart().svg();
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // Two rows: three bars high, and one.
        let height = TOP + (GROUP_TITLE + 3 * BAR_STEP + GROUP_GAP) + (GROUP_TITLE + BAR_STEP + GROUP_GAP);
        assert!(svg.contains(&format!("viewBox=\"0 0 {WIDTH} {height}\"")), "{svg}");
        assert!(svg.contains("prefers-color-scheme: dark"));
    }
}
