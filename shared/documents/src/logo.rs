//! Logos: pictures that customers give, checked before anything reads them.
//!
//! What a reader of pictures could be made to work on for long is refused: by size before it is decoded, and of SVG what
//! can refer to something else, be repeated or filtered.

/// A picture has at most so many bytes.
const MOST_BYTES: usize = 64 * 1024;
/// So many dots in a row or a column: a bitmap of 2,000 by 2,000 is 16 MB when it is unpacked.
const MOST_DOTS: u32 = 2_000;
/// An SVG picture has at most so many elements.
const MOST_ELEMENTS: usize = 2_000;
/// Elements of SVG that draw what they hold, or fill or group it.
const DRAWING: [&str; 18] = [
    "svg",
    "g",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "defs",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "title",
    "desc",
    "metadata",
    "style",
];

/// Elements of SVG that do more.
const MORE: [&str; 16] = [
    "a",
    "filter",
    "foreignObject",
    "image",
    "marker",
    "mask",
    "pattern",
    "script",
    "switch",
    "symbol",
    "text",
    "textPath",
    "tref",
    "tspan",
    "use",
    "animate",
];

/// A picture that may be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Logo(Vec<u8>);

/// Why a picture is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLogo {
    /// It is too large.
    #[error("has more than {MOST_BYTES} bytes, {MOST_DOTS} dots in a row, or {MOST_ELEMENTS} elements")]
    TooLarge,
    /// It is nothing that we show.
    #[error("is no PNG, JPEG or SVG picture")]
    Unknown,
    /// It is an SVG picture with more than drawing in it.
    #[error("refers to something else, or has more than drawing in it")]
    MoreThanDrawing,
}

impl Logo {
    /// Takes a picture.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NoLogo> {
        if bytes.len() > MOST_BYTES {
            return Err(NoLogo::TooLarge);
        }
        if let Some(size) = png_size(&bytes).or_else(|| jpeg_size(&bytes)) {
            let within = |dots: u32| (1..=MOST_DOTS).contains(&dots);
            return if within(size.0) && within(size.1) {
                Ok(Self(bytes))
            } else {
                Err(NoLogo::TooLarge)
            };
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| NoLogo::Unknown)?;
        check_svg(text)?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Width and height as the header of a PNG picture says them.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    Some((number(0)?, number(4)?))
}

/// Width and height as the first frame of a JPEG picture says them.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else {
            return None;
        };
        // A frame, but not the tables that have numbers among theirs.
        if (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let number = |at: usize| rest.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
            return Some((u32::from(number(7)?), u32::from(number(5)?)));
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}

/// Reads an SVG picture as a stream of elements, and wants drawing alone.
fn check_svg(text: &str) -> Result<(), NoLogo> {
    use quick_xml::events::Event;

    let mut reader = quick_xml::Reader::from_str(text);
    let (mut elements, mut is_svg) = (0, false);
    loop {
        let event = reader.read_event().map_err(|_| NoLogo::Unknown)?;
        let element = match event {
            Event::Eof => return if is_svg { Ok(()) } else { Err(NoLogo::Unknown) },
            // Entities and processing instructions.
            Event::DocType(_) | Event::PI(_) => return Err(NoLogo::MoreThanDrawing),
            Event::Start(element) | Event::Empty(element) => element,
            Event::Text(text) if text.contains("@import") => return Err(NoLogo::MoreThanDrawing),
            _ => continue,
        };
        elements += 1;
        let name = element.local_name();
        let name = name.as_ref();
        is_svg |= name == "svg" && elements == 1;
        if !is_svg {
            return Err(NoLogo::Unknown);
        }
        if elements > MOST_ELEMENTS {
            return Err(NoLogo::TooLarge);
        }
        // Programs that draw leave notes to themselves, with names of their own.
        let is_note = element.name().as_ref().contains(':') && !MORE.contains(&name) && !name.starts_with("fe");
        if !DRAWING.contains(&name) && !is_note {
            return Err(NoLogo::MoreThanDrawing);
        }
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| NoLogo::Unknown)?;
            // Gradients build on others by a reference within; nothing else has to refer.
            let refers = attribute.key.local_name().as_ref() == "href";
            if refers && !attribute.value.starts_with('#') {
                return Err(NoLogo::MoreThanDrawing);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inner: &str) -> Result<(), NoLogo> {
        let text = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{inner}</svg>"#);
        Logo::new(text.into_bytes()).map(drop)
    }

    #[test]
    fn drawing_is_taken_and_the_rest_refused() {
        for good in [
            r#"<path d="M0 0h9v9z"/>"#,
            r#"<defs><linearGradient id="a"/></defs><g><rect fill="url(#a)" width="1" height="1"/></g>"#,
            "<title>Acme &amp; Sons</title>",
            "<inkscape:grid/>",
        ] {
            assert_eq!(svg(good), Ok(()), "{good}");
        }
        for bad in [
            r##"<use href="#a"/>"##,
            r#"<image href="http://169.254.169.254/"/>"#,
            r#"<image href="file:///etc/passwd"/>"#,
            "<script>1</script>",
            "<foreignObject/>",
            r#"<filter id="a"/>"#,
            "<text>Acme</text>",
            r##"<x:use xmlns:x="http://www.w3.org/2000/svg" href="#a"/>"##,
            r#"<linearGradient href="http://a.b/c"/>"#,
            "<style>@import 'a'</style>",
        ] {
            assert_eq!(svg(bad), Err(NoLogo::MoreThanDrawing), "{bad}");
        }
        let bomb = r#"<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>"#;
        assert_eq!(Logo::new(bomb.into()), Err(NoLogo::MoreThanDrawing));
        assert_eq!(svg(&"<g/>".repeat(3_000)), Err(NoLogo::TooLarge));
        assert_eq!(Logo::new(b"<html/>".to_vec()), Err(NoLogo::Unknown));
        assert_eq!(Logo::new(vec![0xfe; 9]), Err(NoLogo::Unknown));
        assert_eq!(Logo::new(vec![b' '; 70_000]), Err(NoLogo::TooLarge));
    }

    #[test]
    fn bitmaps_say_their_size_before_they_are_unpacked() {
        let png = |width: u32, height: u32| {
            let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            bytes.extend(width.to_be_bytes());
            bytes.extend(height.to_be_bytes());
            Logo::new(bytes).map(drop)
        };
        assert_eq!(png(2_000, 1), Ok(()));
        assert_eq!(png(2_001, 1), Err(NoLogo::TooLarge));
        assert_eq!(png(1, 0), Err(NoLogo::TooLarge));
        let jpeg = |width: u16| {
            let mut bytes = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08".to_vec();
            bytes.extend(9_u16.to_be_bytes());
            bytes.extend(width.to_be_bytes());
            Logo::new(bytes).map(drop)
        };
        assert_eq!(jpeg(640), Ok(()));
        assert_eq!(jpeg(6_400), Err(NoLogo::TooLarge));
    }
}
