//! The demonstration shows what it promises.

use std::process::Command;

#[test]
fn the_demo_ends_with_an_invoice_and_where_to_pay_it() {
    let shown = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["demo", "--once"])
        .output()
        .expect("cargo local demo runs");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        shown.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    for part in [
        "events          2000",
        "over 59.50 EUR",
        "/pay/",
        "/_double",
        "/_local/emails",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
