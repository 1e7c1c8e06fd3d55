//! The fonts of documents: subsets of Noto (SIL Open Font License 1.1), part of the program. `fonts/make.py` makes them.

use std::sync::LazyLock;

use typst::foundations::Bytes;
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;

/// In the order in which they are asked for a character.
const FILES: [&[u8]; 10] = [
    include_bytes!("../fonts/NotoSans-Regular.ttf"),
    include_bytes!("../fonts/NotoSans-Bold.ttf"),
    include_bytes!("../fonts/NotoSansArabic-Regular.ttf"),
    include_bytes!("../fonts/NotoSansArabic-Bold.ttf"),
    include_bytes!("../fonts/NotoSansHebrew-Regular.ttf"),
    include_bytes!("../fonts/NotoSansHebrew-Bold.ttf"),
    include_bytes!("../fonts/NotoSansDevanagari-Regular.ttf"),
    include_bytes!("../fonts/NotoSansDevanagari-Bold.ttf"),
    include_bytes!("../fonts/NotoSansCJK-Regular.otf"),
    include_bytes!("../fonts/NotoSansSigns-Regular.ttf"),
];

/// The fonts, and what is in them.
pub(crate) struct Fonts {
    pub(crate) fonts: Vec<Font>,
    pub(crate) book: LazyHash<FontBook>,
}

/// Those of this process.
pub(crate) static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let fonts: Vec<Font> = FILES
        .iter()
        .filter_map(|file| Font::new(Bytes::new(*file), 0))
        .collect();
    let book = LazyHash::new(FontBook::from_fonts(&fonts));
    Fonts { fonts, book }
});

impl Fonts {
    /// Whether one font has all of these characters.
    pub(crate) fn can_show(&self, mut cluster: impl Iterator<Item = char> + Clone) -> bool {
        (0..self.fonts.len()).any(|index| {
            let mut all = cluster.clone();
            self.book
                .info(index)
                .is_some_and(|info| all.all(|c| info.coverage.contains(u32::from(c))))
        }) || cluster.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_font_is_read_and_called_as_the_template_says() {
        assert_eq!(FONTS.fonts.len(), FILES.len());
        let template = include_str!("template.typ");
        let families: std::collections::BTreeSet<_> = FONTS.book.families().map(|(name, _)| name).collect();
        assert_eq!(families.len(), 6, "{families:?}");
        for family in families {
            assert!(template.contains(&format!("\"{family}\"")), "{family}");
        }
    }

    /// Every sign of a currency that Unicode 15 has, by its code points.
    #[test]
    fn every_sign_of_a_currency_has_a_glyph() {
        let signs = [
            0x24..=0x24,
            0xa2..=0xa5,
            0x58f..=0x58f,
            0x60b..=0x60b,
            0x7fe..=0x7ff,
            0x9f2..=0x9f3,
            0x9fb..=0x9fb,
            0xaf1..=0xaf1,
            0xbf9..=0xbf9,
            0xe3f..=0xe3f,
            0x17db..=0x17db,
            0x20a0..=0x20c0,
            0xa838..=0xa838,
            0xfdfc..=0xfdfc,
            0xfe69..=0xfe69,
            0xff04..=0xff04,
            0xffe0..=0xffe1,
            0xffe5..=0xffe6,
        ];
        for sign in signs.into_iter().flatten() {
            let sign = char::from_u32(sign).unwrap();
            assert!(FONTS.can_show(std::iter::once(sign)), "{sign:?}");
        }
    }
}
