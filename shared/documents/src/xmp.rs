//! What Factur-X wants to be said in the metadata of a PDF (XMP): which file is the invoice, and by which profile. typst has
//! no way to say it, so it is put into what typst made.

/// How the metadata begin, behind their length.
const BEGIN: &[u8] = b"/Type/Metadata/Subtype/XML>>\nstream\n";
const END: &[u8] = b"\nendstream";
/// Where the descriptions of properties end that PDF/A has to be told of (ISO 19005-3, 6.6.2.3.3).
const SCHEMAS_END: &str = "</rdf:Bag></pdfaExtension:schemas>";
const DESCRIPTION_END: &str = "</rdf:RDF>";
const NAMESPACE: &str = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#";
/// The properties, what each says, and what it is.
const PROPERTIES: [(&str, &str, &str); 4] = [
    (
        "DocumentFileName",
        crate::cii::FILE,
        "name of the embedded XML invoice file",
    ),
    ("DocumentType", "INVOICE", "type of the embedded document"),
    ("Version", "1.0", "version of the embedded Factur-X data"),
    (
        "ConformanceLevel",
        "EN 16931",
        "conformance level of the embedded Factur-X data",
    ),
];

/// Puts it in, and moves what the file says about where its parts begin; nothing if it is no file as typst makes them.
pub(crate) fn with_factur_x(pdf: &[u8]) -> Option<Vec<u8>> {
    let begin = rfind(pdf, BEGIN)?;
    let text = begin + BEGIN.len();
    let end = text + find(&pdf[text..], END)?;
    let length = rfind(&pdf[..begin], b"/Length ")? + b"/Length ".len();
    let old = std::str::from_utf8(&pdf[text..end]).ok()?;
    let new = described(old)?;
    let digits = new.len().to_string();
    let table = rfind(pdf, b"\nxref\n")? + 1;
    let entries = Entries::of(pdf, table)?;
    let parts = [
        &pdf[..length],
        digits.as_bytes(),
        &pdf[begin..text],
        new.as_bytes(),
        &pdf[end..table],
    ];
    let mut made = parts.concat();
    // Nothing begins between the length and what it is the length of.
    let moved = made.len() - table;
    let begins = made.len();
    entries.write(
        pdf,
        |offset| if offset > begin { offset + moved } else { offset },
        begins,
        &mut made,
    );
    Some(made)
}

/// The metadata, with those of Factur-X.
fn described(old: &str) -> Option<String> {
    let (before, rest) = old.split_once(SCHEMAS_END)?;
    let (middle, after) = rest.split_once(DESCRIPTION_END)?;
    let mut schema = format!(
        "<rdf:li rdf:parseType=\"Resource\"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>\
         <pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>\
         <pdfaSchema:property><rdf:Seq>"
    );
    let mut values = format!("<rdf:Description rdf:about=\"\" xmlns:fx=\"{NAMESPACE}\">");
    for (name, value, description) in PROPERTIES {
        let property = [
            "<rdf:li rdf:parseType=\"Resource\"><pdfaProperty:category>external</pdfaProperty:category>",
            "<pdfaProperty:description>",
            description,
            "</pdfaProperty:description><pdfaProperty:name>",
            name,
            "</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType></rdf:li>",
        ];
        schema.push_str(&property.concat());
        values.push_str(&["<fx:", name, ">", value, "</fx:", name, ">"].concat());
    }
    schema.push_str("</rdf:Seq></pdfaSchema:property></rdf:li>");
    values.push_str("</rdf:Description>");
    Some([before, &schema, SCHEMAS_END, middle, &values, DESCRIPTION_END, after].concat())
}

/// The table of where objects begin: so many lines of 20 bytes, each a number of ten digits and whether it counts.
struct Entries {
    first: usize,
    count: usize,
}

impl Entries {
    const LINE: usize = 20;

    fn of(pdf: &[u8], table: usize) -> Option<Self> {
        let head = pdf.get(table..)?.strip_prefix(b"xref\n0 ")?;
        let digits = find(head, b"\n")?;
        let count = std::str::from_utf8(&head[..digits]).ok()?.parse().ok()?;
        let first = table + b"xref\n0 ".len() + digits + 1;
        (pdf.len() >= first + count * Self::LINE).then_some(Self { first, count })
    }

    /// Writes it with other places, and what comes behind it with its own.
    fn write(&self, pdf: &[u8], moved: impl Fn(usize) -> usize, begins: usize, made: &mut Vec<u8>) {
        made.extend_from_slice(format!("xref\n0 {}\n", self.count).as_bytes());
        let end = self.first + self.count * Self::LINE;
        for line in pdf[self.first..end].chunks(Self::LINE) {
            let (place, rest) = line.split_at(10);
            // The first line is of no object, and has a place of zero.
            let place = std::str::from_utf8(place).ok().and_then(|place| place.parse().ok());
            made.extend_from_slice(format!("{:010}", moved(place.unwrap_or(0))).as_bytes());
            made.extend_from_slice(rest);
        }
        let trailer = &pdf[end..];
        let start = rfind(trailer, b"startxref\n").map_or(trailer.len(), |at| at + b"startxref\n".len());
        made.extend_from_slice(&trailer[..start]);
        made.extend_from_slice(format!("{begins}\n%%EOF").as_bytes());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

fn rfind(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|part| part == wanted)
}
