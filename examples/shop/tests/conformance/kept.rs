//! A demonstration that does not end well leaves what is needed to find out why.

use std::process::Command;

#[test]
fn what_mainstay_kept_is_left_beside_a_report_that_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody comes, so it is not known whether the shop works.
    let output = Command::new(env!("CARGO_BIN_EXE_shop"))
        .args([
            "demo",
            "--quiet",
            "--rate",
            "0.01",
            "--duration",
            "10ms",
            "--shop",
            env!("CARGO_MANIFEST_DIR"),
        ])
        .arg("--out")
        .arg(folder.path())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("NO  at least half") && told.contains("it does NOT hold"), "{told}");
    let kept =
        told.lines().find_map(|line| line.strip_prefix("what Mainstay kept is in ")).expect("it is told");
    let kept = std::path::Path::new(kept);
    assert!(kept.starts_with(folder.path()), "{}", kept.display());
    assert!(kept.join("data").read_dir().expect("a folder").next().is_some(), "{}", kept.display());
    assert!(folder.path().join("shop.md").exists() && folder.path().join("mainstay.log").exists());
}
