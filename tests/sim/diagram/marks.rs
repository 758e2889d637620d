//! The marks of a picture, as SVG. How they look is the style sheet's matter: a mark has a class, a place, and what is told
//! about it when somebody points at it.

use std::fmt::Write;

#[derive(Default)]
pub(super) struct Marks(String);

impl Marks {
    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64), told: &str) {
        let place = format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"");
        self.mark("line", class, &place, told);
    }

    pub(super) fn block(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), told: &str) {
        let height = height.max(1.0);
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        self.mark("rect", class, &place, told);
    }

    pub(super) fn dot(&mut self, class: &str, x: f64, y: f64, told: &str) {
        self.mark("circle", class, &format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\""), told);
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str, told: &str) {
        self.open("text", class, &format!("x=\"{x:.1}\" y=\"{y:.1}\""), told);
        writeln!(self.0, ">{}</text>", escaped(text)).expect("text has room");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn mark(&mut self, shape: &str, class: &str, place: &str, told: &str) {
        self.open(shape, class, place, told);
        self.0.push_str("/>\n");
    }

    fn open(&mut self, shape: &str, class: &str, place: &str, told: &str) {
        write!(self.0, "<{shape} class=\"{class}\" {place}").expect("text has room");
        if !told.is_empty() {
            write!(self.0, " data-told=\"{}\"", escaped(told.trim())).expect("text has room");
        }
    }
}

/// As text or as a value in double quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_as_markup_is_escaped_in_texts_and_in_what_is_told() {
        let mut marks = Marks::default();

        marks.text("words", 1.0, 2.0, "a < b & c", "\"x\" > y");

        let expected = "<text class=\"words\" x=\"1.0\" y=\"2.0\" data-told=\"&quot;x&quot; &gt; y\">a &lt; b &amp; c</text>\n";
        assert_eq!(marks.into_text(), expected);
    }
}
