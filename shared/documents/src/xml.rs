//! Writing XML: elements in order, every text escaped.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// What is written so far.
pub(crate) struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// Writes a document with one root.
    pub(crate) fn document(root: &str, namespaces: &[(&str, &str)], inner: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(Writer::new(Vec::new()));
        xml.put(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        let start = BytesStart::new(root).with_attributes(namespaces.iter().copied());
        xml.put(Event::Start(start));
        inner(&mut xml);
        xml.put(Event::End(BytesEnd::new(root)));
        // Everything that was put is a string.
        String::from_utf8(xml.0.into_inner()).unwrap_or_default()
    }

    /// Writes an element with others in it.
    pub(crate) fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.put(Event::Start(BytesStart::new(name)));
        inner(self);
        self.put(Event::End(BytesEnd::new(name)));
    }

    /// Writes an element with a text; nothing if the text is blank.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.with(name, &[], text);
    }

    /// Writes an element with a text, if there is one.
    pub(crate) fn maybe(&mut self, name: &str, text: Option<&str>) {
        self.text(name, text.unwrap_or_default());
    }

    /// Writes an element with attributes and a text; nothing if the text is blank.
    pub(crate) fn with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        let text = allowed(text);
        if text.is_empty() {
            return;
        }
        let start = BytesStart::new(name).with_attributes(attributes.iter().copied());
        self.put(Event::Start(start));
        self.put(Event::Text(BytesText::new(&text)));
        self.put(Event::End(BytesEnd::new(name)));
    }

    fn put(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("a vector takes whatever is written");
    }
}

/// What XML 1.0 has characters for, without blanks around it.
pub(crate) fn allowed(text: &str) -> String {
    let is_allowed = |c: &char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = text.chars().filter(is_allowed).collect();
    kept.trim().to_owned()
}
