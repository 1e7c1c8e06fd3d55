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

    /// `#rrggbb`, dark enough to be read on white: with as much black as that takes.
    pub fn on_white(self) -> String {
        self.readable_on(Self([255; 3]), 0)
    }

    /// `#rrggbb`, light enough to be read on dark grey (`#161b22`, and what is darker): with as much white as that takes.
    pub fn on_dark(self) -> String {
        self.readable_on(Self([0x16, 0x1b, 0x22]), 255)
    }

    /// It, with as much of black or white as the least contrast takes that WCAG 2 wants of text.
    fn readable_on(self, ground: Self, towards: u32) -> String {
        let mut mixed = (0..=100).map(|percent| self.mixed(towards, percent));
        let readable = mixed.find(|color| color.contrast(ground) >= LEAST_CONTRAST);
        let Self([red, green, blue]) = readable.unwrap_or_else(|| self.mixed(towards, 100));
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// It, with so many percent of black (0) or white (255).
    fn mixed(self, other: u32, percent: u32) -> Self {
        let mix = |part: u8| (u32::from(part) * (100 - percent) + other * percent) / 100;
        // A mean of two parts is at most the larger one.
        Self(self.0.map(|part| u8::try_from(mix(part)).unwrap_or(u8::MAX)))
    }

    /// WCAG 2, "contrast ratio".
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG 2, "relative luminance".
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// WCAG 2, 1.4.3.
const LEAST_CONTRAST: f64 = 4.5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let read = |text: String| Color::parse(&text).unwrap();
            let (color, dark) = (Color(parts), Color([0x16, 0x1b, 0x22]));
            prop_assert!(read(color.on_white()).contrast(Color([255; 3])) >= LEAST_CONTRAST, "{color:?}");
            prop_assert!(read(color.on_dark()).contrast(dark) >= LEAST_CONTRAST, "{color:?}");
        }

        /// What can be read as it is, stays.
        #[test]
        fn nothing_is_changed_without_need(parts: [u8; 3]) {
            let color = Color(parts);
            let is_dark = color.contrast(Color([255; 3])) >= LEAST_CONTRAST;
            prop_assert_eq!(Color::parse(&color.on_white()).unwrap() == color, is_dark);
        }
    }

    /// By the table of WCAG's examples: 21 to 1, and 4.54 to 1.
    #[test]
    fn contrast_is_that_of_wcag() {
        let contrast = |one: &str, other: &str| Color::parse(one).unwrap().contrast(Color::parse(other).unwrap());
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.001);
        assert!((contrast("#767676", "#ffffff") - 4.54).abs() < 0.01);
    }
}
