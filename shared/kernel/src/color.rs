//! Colours, as organizations choose them for what their clients see; made readable on whatever they stand.

/// A colour such as `#1f6feb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color([u8; 3]);

impl Color {
    /// What is taken where none is said.
    pub const DEFAULT: Self = Self([0x1f, 0x4e, 0x8c]);

    /// Reads `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        // `from_str_radix` takes a sign.
        digits
            .chars()
            .all(|c| c.is_ascii_hexdigit())
            .then_some(Self([red, green, blue]))
    }

    /// `#rrggbb`, dark enough to be read on white: each part is at most so much that the contrast stays above 4.5.
    pub fn on_white(self) -> String {
        let light = self.light();
        self.each(|part| if light > 110 { part * 110 / light } else { part })
    }

    /// `#rrggbb`, light enough to be read on dark grey (`#161b22`, and what is darker): mixed with so much white that the
    /// contrast stays above 4.5.
    pub fn on_dark(self) -> String {
        let light = self.light();
        let white = if light < 150 {
            (150 - light) * 1_000 / (255 - light)
        } else {
            0
        };
        self.each(|part| part + (255 - part) * white / 1_000)
    }

    /// About how light it is, from 0 to 255: weights of sRGB luminance in thousandths. Below 110 the contrast with white
    /// is above 4.5.
    fn light(self) -> u32 {
        let [red, green, blue] = self.0.map(u32::from);
        (red * 213 + green * 715 + blue * 72) / 1_000
    }

    fn each(self, change: impl Fn(u32) -> u32) -> String {
        let [red, green, blue] = self.0.map(|part| change(u32::from(part)));
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The relative luminance of WCAG 2.
    fn luminance(color: &str) -> f64 {
        let Color(parts) = Color::parse(color).unwrap();
        let [red, green, blue] = parts.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn only_colours_are_read() {
        assert!(Color::parse("#1F6feb").is_some());
        for bad in ["", "#fff", "1f6feb", "#1f6feg", "#+f6feb", "#1f6feb0", "#äää"] {
            assert_eq!(Color::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_colour_can_be_read(parts: [u8; 3]) {
            let color = Color(parts);
            prop_assert!(contrast(&color.on_white(), "#ffffff") >= 4.5, "{color:?} {}", color.on_white());
            prop_assert!(contrast(&color.on_dark(), "#161b22") >= 4.5, "{color:?} {}", color.on_dark());
        }
    }
}
