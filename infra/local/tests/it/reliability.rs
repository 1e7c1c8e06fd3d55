//! The reliability run in its short form, over the real functions.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn nothing_is_lost_and_nothing_doubled_under_cruelty() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["reliability", "--separate", "--seed", "7", "--events", "400", "--json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    let report: Value =
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("it ended with {}: {error}", run.status));
    assert!(run.status.success(), "{report:#}");
    assert_eq!((&report["lost"], &report["doubled"]), (&0.into(), &0.into()));
    let happened = |faults: &[&str]| {
        faults
            .iter()
            .map(|fault| report["faults"][fault].as_u64().unwrap())
            .sum::<u64>()
    };
    for faults in [
        &["killAfterCall", "killDuringCall", "killLater"][..],
        &["twoConsumers", "undeleted"],
        &["throttle", "serverError"],
        &["lostReply", "silence"],
    ] {
        assert!(happened(faults) > 0, "none of {faults:?} happened: {report:#}");
    }
}
