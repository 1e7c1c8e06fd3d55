"""Makes the font files of this folder anew: subsets of the Noto fonts (SIL Open Font License 1.1, see OFL.txt).

    apt-get install fonts-noto-core fonts-noto-extra fonts-noto-cjk        # Debian 12
    python3 -m venv v && v/bin/pip install fonttools==4.68.0 uharfbuzz fontpkg-noto-sans==2.15
    v/bin/python make.py

Noto Sans comes from PyPI because Debian's is older than the sign of the som (U+20C0). Nothing is drawn anew: glyphs that a
document does not need are left out, and hints for screens.
"""

import glob
import os
import tempfile
import unicodedata

import fontpkg_noto_sans
from fontTools import merge, subset
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable
from fontTools.varLib import instancer

HERE = os.path.dirname(os.path.abspath(__file__))
NOTO = "/usr/share/fonts/truetype/noto"
CJK = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
# The face of the collection whose shapes count where no language is said.
SIMPLIFIED_CHINESE = 2


def write(font, name, unicodes, **options):
    """Writes a subset of a font."""
    chosen = subset.Options(
        hinting=False,
        notdef_outline=True,
        name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14],
        drop_tables=["DSIG", "vhea", "vmtx", "VORG", "BASE", "STAT", "meta"],
        **options,
    )
    subsetter = subset.Subsetter(chosen)
    subsetter.populate(unicodes=unicodes)
    subsetter.subset(font)
    # ttf-parser does not find glyphs above 32,767 in the older kind of table.
    if len(font.getGlyphOrder()) > 0x7FFF:
        table = CmapSubtable.newSubtable(12)
        table.platformID, table.platEncID, table.language, table.cmap = 3, 10, 0, font.getBestCmap()
        font["cmap"].tables = [table]
    # No moment of making, so that making them again makes the same bytes.
    font.recalcTimestamp = False
    font.save(os.path.join(HERE, name))


def covered(font):
    return set(font.getBestCmap())


def latin():
    """Latin, Greek, Cyrillic; punctuation, currencies, letter-like signs, arrows, mathematical signs."""
    blocks = [(0x20, 0x52F), (0x1AB0, 0x1AFF), (0x1C80, 0x1C8F), (0x1D00, 0x20CF), (0x2100, 0x22FF), (0x25A0, 0x25FF),
              (0x2C60, 0x2C7F), (0x2DE0, 0x2E5F), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB06),
              (0xFE20, 0xFE2F), (0xFFFD, 0xFFFD)]
    unicodes = {c for first, last in blocks for c in range(first, last + 1)}
    folder = os.path.join(os.path.dirname(fontpkg_noto_sans.__file__), "files")
    for weight, name in [(400, "Regular"), (700, "Bold")]:
        font = TTFont(os.path.join(folder, "NotoSans[wdth,wght].ttf"), recalcTimestamp=False)
        font = instancer.instantiateVariableFont(font, {"wght": weight, "wdth": 100}, updateFontNames=True)
        features = ["kern", "mark", "mkmk", "ccmp", "locl", "liga"]
        write(font, f"NotoSans-{name}.ttf", unicodes, layout_features=features)


def scripts():
    for script in ["Arabic", "Hebrew", "Devanagari"]:
        for weight in ["Regular", "Bold"]:
            font = TTFont(f"{NOTO}/NotoSans{script}-{weight}.ttf", recalcTimestamp=False)
            write(font, f"NotoSans{script}-{weight}.ttf", covered(font))


def two_bytes(codec):
    """The characters of an older standard of two bytes each."""
    found = set()
    for lead in range(0xA1, 0xFF):
        for trail in range(0x40, 0xFF):
            try:
                text = bytes([lead, trail]).decode(codec)
            except UnicodeDecodeError:
                continue
            found.update(ord(c) for c in text if ord(c) >= 0x2E80)
    return found


def cjk():
    """All unified ideographs of the first block, all Hangul and kana, and whatever GB 2312, Big5, JIS X 0208 and KS X 1001
    have beside them; with the Japanese and the Taiwanese shapes for texts in those languages."""
    blocks = [(0x3000, 0x312F), (0x3130, 0x318F), (0x31A0, 0x31FF), (0x3200, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
              (0xFE30, 0xFE4F), (0xFE50, 0xFE6F), (0xFF00, 0xFFEF)]
    unicodes = {c for first, last in blocks for c in range(first, last + 1)}
    for codec in ["gb2312", "big5", "euc_jp", "euc_kr"]:
        unicodes |= two_bytes(codec)
    font = TTFont(CJK, fontNumber=SIMPLIFIED_CHINESE, recalcTimestamp=False)
    languages = ["DFLT.dflt", "hani.dflt", "hani.JAN", "hani.ZHT", "kana.dflt", "kana.JAN", "hang.dflt"]
    write(font, "NotoSansCJK-Regular.otf", unicodes, layout_features=["locl"], layout_scripts=languages)


def signs():
    """Signs of currencies that belong to other scripts: one font of them alone."""
    have = set()
    for name in os.listdir(HERE):
        if name.endswith(("ttf", "otf")) and "Signs" not in name:
            have |= covered(TTFont(os.path.join(HERE, name)))
    every = {c for c in range(0x110000) if unicodedata.category(chr(c)) == "Sc"}
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(glob.glob(f"{NOTO}/NotoSans*-Regular.ttf")):
            font = TTFont(path, recalcTimestamp=False)
            wanted = (every - have) & covered(font)
            if not wanted or font["head"].unitsPerEm != 1000:
                continue
            have |= wanted
            part = os.path.join(folder, os.path.basename(path))
            chosen = subset.Options(hinting=False, layout_features=[], notdef_outline=True)
            subsetter = subset.Subsetter(chosen)
            subsetter.populate(unicodes=wanted)
            subsetter.subset(font)
            font.save(part)
            parts.append(part)
        merged = merge.Merger().merge(parts)
    for name in list(merged["name"].names):
        merged["name"].removeNames(nameID=name.nameID)
    for number, text in [(1, "Noto Sans Signs"), (2, "Regular"), (4, "Noto Sans Signs"), (6, "NotoSansSigns")]:
        merged["name"].setName(text, number, 3, 1, 0x409)
    merged.recalcTimestamp = False
    merged["head"].created = merged["head"].modified = 0
    merged.save(os.path.join(HERE, "NotoSansSigns-Regular.ttf"))
    print("signs without a glyph:", [hex(c) for c in sorted(every - have)])


latin()
scripts()
cjk()
signs()
for name in sorted(os.listdir(HERE)):
    if name.endswith(("ttf", "otf")):
        print(f"{os.path.getsize(os.path.join(HERE, name)):>10} {name}")
