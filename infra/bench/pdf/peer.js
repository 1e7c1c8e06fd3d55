// The invoice that `examples/speed` renders, by PDFKit: the same texts and amounts, Noto Sans in two weights, a logo of paths,
// a table, sums, a QR code, page numbers. No XML and no PDF/A, which PDFKit has no words for. Prints what `speed` prints.

const path = require("path");
const PDFDocument = require("pdfkit");
const QRCode = require("qrcode");

const TIMES = 60;
const FONTS = path.join(__dirname, "../../../shared/documents/fonts");
const ACCENT = "#0f766e";
const LINK = "https://pay.example.com/pay/7f3a9c51b2e84d06a1c7e95f";
const LINES = [
  ["Team plan, 25 seats", "1 January 2027 – 31 January 2027", "25", "19.00", "19%", "475.00"],
  ["API calls above the plan", "", "1,284,350", "0.000125", "19%", "160.54"],
  ["Workshop on site\nwith printed material", "", "1.5", "960.00", "19%", "1,440.00"],
  ["Handbook “From plan to invoice”", "", "12", "24.50", "7%", "294.00"],
  ["Discount WELCOME10", "", "", "", "7%", "-29.40"],
  ["Discount WELCOME10", "", "", "", "19%", "-207.55"],
];
const SUMS = [
  ["Subtotal", "$2,132.59"],
  ["Tax 7% on $264.60", "$18.52"],
  ["Tax 19% on $1,867.99", "$354.92"],
  ["Total", "$2,506.03"],
  ["Amount due", "$2,506.03"],
];
const WIDTHS = [230, 65, 65, 40, 75];

function render(place) {
  return new Promise((done) => {
    const pdf = new PDFDocument({ size: "A4", margin: 57, bufferPages: true, info: { Title: "Invoice INV-2027-0001" } });
    const parts = [];
    pdf.on("data", (part) => parts.push(part));
    pdf.on("end", () => done(Buffer.concat(parts)));
    pdf.registerFont("regular", path.join(FONTS, "NotoSans-Regular.ttf"));
    pdf.registerFont("bold", path.join(FONTS, "NotoSans-Bold.ttf"));
    head(pdf, place);
    const y = sums(pdf, table(pdf));
    pay(pdf, y + 24);
    pdf.font("regular").fontSize(9).fillColor("#1f2328");
    pdf.text("Thank you for your business.\nPlease quote the number of this document when you pay.", 57, y + 130);
    const { count } = pdf.bufferedPageRange();
    for (let page = 0; page < count; page += 1) {
      pdf.switchToPage(page);
      pdf.fontSize(7.5).fillColor("#6a737d").text(`Page ${page + 1} of ${count}`, 400, 770, { width: 138, align: "right", lineBreak: false });
    }
    pdf.end();
  });
}

function head(pdf, place) {
  pdf.save().translate(57, 57).scale(0.85);
  pdf.roundedRect(0, 0, 60, 60, 14).fill(ACCENT);
  pdf.path("M14 44 30 14 46 44h-9l-7-14-7 14z").fill("#fff");
  pdf.path("M76 44V16h20v6H83v5h12v6H83v11z").fill(ACCENT);
  pdf.restore();
  pdf.fillColor("#1f2328").font("bold").fontSize(8).text("Fork & Föhre GmbH", 330, 57);
  pdf.font("regular").text("Invalidenstraße 42\n10115 Berlin\nGermany");
  pdf.font("bold").fontSize(22).fillColor(ACCENT).text("Invoice", 57, 130);
  pdf.font("regular").fontSize(7.5).fillColor("#6a737d").text("Bill to", 57, 170);
  pdf.font("bold").fontSize(11).fillColor("#1f2328").text(`Wayne & Daughters Inc. ${place}`);
  pdf.font("regular").fontSize(9).text("1007 Mountain Drive\nGotham 07001\nUnited States\naccounts@example.com");
  let y = 170;
  for (const [name, value] of [["Number", "INV-2027-0001"], ["Date", "January 3, 2027"], ["Due date", "January 17, 2027"]]) {
    pdf.font("regular").fillColor("#6a737d").text(name, 330, y);
    pdf.font("bold").fillColor("#1f2328").text(value, 400, y, { width: 138, align: "right" });
    y += 14;
  }
}

function row(pdf, cells, y, font, color) {
  let x = 57;
  let deepest = y;
  cells.forEach((cell, column) => {
    pdf.font(font).fontSize(9).fillColor(color);
    pdf.text(cell, x, y, { width: WIDTHS[column] - 6, align: column === 0 ? "left" : "right" });
    deepest = Math.max(deepest, pdf.y);
    x += WIDTHS[column];
  });
  return deepest;
}

function table(pdf) {
  let y = row(pdf, ["Description", "Quantity", "Unit price", "Tax", "Amount (USD)"], 270, "bold", ACCENT) + 4;
  pdf.moveTo(57, y).lineTo(538, y).lineWidth(1).stroke(ACCENT);
  for (const [what, detail, ...rest] of LINES) {
    y = row(pdf, [detail ? `${what}\n${detail}` : what, ...rest], y + 5, "regular", "#1f2328") + 4;
    pdf.moveTo(57, y).lineTo(538, y).lineWidth(0.5).stroke("#d0d7de");
  }
  return y;
}

function sums(pdf, from) {
  let y = from + 10;
  SUMS.forEach(([name, value], place) => {
    const strong = place === SUMS.length - 1;
    pdf.font(strong ? "bold" : "regular").fontSize(strong ? 11 : 9).fillColor(strong ? ACCENT : "#1f2328");
    pdf.text(name, 300, y, { width: 150 });
    pdf.text(value, 450, y, { width: 82, align: "right" });
    y += 17;
  });
  return y;
}

function pay(pdf, y) {
  const { modules } = QRCode.create(LINK, { errorCorrectionLevel: "M" });
  const dot = 74 / modules.size;
  pdf.roundedRect(57, y, 481, 96, 6).lineWidth(0.5).stroke("#d0d7de");
  for (let at = 0; at < modules.data.length; at += 1) {
    if (modules.data[at]) pdf.rect(68 + (at % modules.size) * dot, y + 11 + Math.floor(at / modules.size) * dot, dot, dot);
  }
  pdf.fill("#000");
  pdf.font("bold").fontSize(11).fillColor(ACCENT).text("Pay online", 160, y + 28);
  pdf.font("regular").fontSize(9).fillColor("#1f2328").text("Scan the code, or open this link:");
  pdf.fontSize(7.5).fillColor(ACCENT).text(LINK, { link: LINK });
}

async function main() {
  const took = [];
  let bytes = 0;
  for (let place = 0; place < TIMES; place += 1) {
    const begun = process.hrtime.bigint();
    bytes = (await render(place)).length;
    took.push(Number(process.hrtime.bigint() - begun) / 1e6);
  }
  const first = took.shift();
  took.sort((one, two) => one - two);
  console.log(JSON.stringify({ first, warm: took[Math.floor(took.length / 2)], bytes }));
}

main();
