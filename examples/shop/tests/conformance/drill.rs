//! Customers while something dies: the demonstration, shorter, and each single death by itself.

use std::process::Command;

/// Runs `shop demo` on the debug build; returns what it printed. Panics if its verdict does not hold, or its report has another name or title.
fn demo(name: &str, title: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_shop"))
        .arg("demo")
        .args(arguments)
        .arg("--shop")
        .arg(env!("CARGO_MANIFEST_DIR"))
        .arg("--out")
        .arg(folder.path())
        .output()
        .expect("it runs");
    let (told, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(folder.path().join("mainstay.log")).unwrap_or_default();
    assert!(output.status.success(), "{told}\n{why}\n{log}");
    let page = std::fs::read_to_string(folder.path().join(format!("{name}.html"))).expect("a report");
    assert!(page.contains("<svg") && page.contains(title), "{page}");
    told.into_owned()
}

#[test]
fn nothing_that_was_shown_turns_out_otherwise_while_everything_fails_in_turn() {
    let told = demo("demo", "The shop under fire", &["--rate", "3", "--duration", "40s", "--seed", "7"]);
    assert_eq!(told.matches("Mainstay is killed (-9)").count(), 2, "{told}");
}

#[test]
fn a_quiet_shop_completes_what_is_asked_of_it() {
    let told =
        demo("shop", "The shop undisturbed", &["--rate", "3", "--duration", "8s", "--seed", "3", "--quiet"]);
    assert!(!told.contains("killed"), "{told}");
}
