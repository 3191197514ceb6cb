//! The fraud service's own tests, which are Python.

use std::path::Path;
use std::process::Command;

#[test]
fn the_tests_of_the_fraud_service_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fraud");
    // `-B`: nothing is left in the folder.
    let tests =
        Command::new("python3").args(["-B", "-m", "unittest", "test_fraud"]).current_dir(folder).output();
    let tests = match tests {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return crate::skipped("there is no python3");
        }
        tests => tests.expect("it can be started"),
    };
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stderr));
}
