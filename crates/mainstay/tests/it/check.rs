//! `mainstay check` on configurations that people get wrong: what they are told.

use std::process::{Command, Output};

fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.arg("check").args(arguments).env_clear().envs(variables.iter().copied());
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures"));
    command.output().expect("the binary runs")
}

/// Exit code and both streams, for people.
fn told(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = check(arguments, variables);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    format!(
        "exit {}\n{}{}",
        output.status.code().expect("it ended by itself"),
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn every_broken_file_is_explained() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(".yaml") && !name.starts_with("layered"))
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let told = told(&[&name], &[]);
        assert!(told.starts_with("exit 2\n"), "{name}: {told}");
        assert!(!told.contains("correct-horse"), "{name} shows a secret");
        insta::assert_snapshot!(name.trim_end_matches(".yaml"), told);
    }
}

#[test]
fn mistakes_outside_files_are_explained() {
    insta::assert_snapshot!("file-missing", told(&["no-such.yaml"], &[]));
    insta::assert_snapshot!("file-is-a-directory", told(&["."], &[]));
    insta::assert_snapshot!("mistake-in-an-environment", told(&["layered.yaml", "--env", "prod"], &[]));
    insta::assert_snapshot!("environment-misspelt", told(&["layered.yaml", "--env", "prdo"], &[]));
    insta::assert_snapshot!("set-without-value", told(&["layered.yaml", "--set", "shutdown.drain"], &[]));
    let wrong = ["layered.yaml", "--set", "shutdown.drain=5", "--set", "telemetry.logs.lvl=debug"];
    insta::assert_snapshot!("set-wrong", told(&wrong, &[]));
    insta::assert_snapshot!("environment-impossible", told(&["layered.yaml", "--env", "../prod"], &[]));
    insta::assert_snapshot!("file-is-a-device", told(&["/dev/zero"], &[]));
    let secrets = ["--set", "api.tokn=correct-horse", "--set", "api.\"token=correct-horse"];
    let shown = told(&["layered.yaml", secrets[0], secrets[1], secrets[2], secrets[3]], &[]);
    assert!(!shown.contains("correct-horse"), "{shown}");
    insta::assert_snapshot!("set-misspelt-secret", shown);
    let variables = [("MAINSTAY__LISTEN__APY", "127.0.0.1:0"), ("MAINSTAY_SHUTDOWN_DRAIN", "5s")];
    insta::assert_snapshot!("variables-misspelt", told(&["layered.yaml"], &variables));
}

#[test]
fn a_valid_configuration_is_explained_with_origins() {
    let arguments = ["layered.yaml", "--explain", "--set", "api.hosts=[admin.local]"];
    insta::assert_snapshot!("explained", told(&arguments, &[("MAINSTAY__NODE__ID", "n7")]));
    let arguments =
        ["layered-collections.yaml", "--env", "prod", "--explain", "--set", "collections.2024={}"];
    let variables = [("MAINSTAY__COLLECTIONS__CARTS__PARTITION_BY", "whole_key")];
    insta::assert_snapshot!("explained-collections", told(&arguments, &variables));
}

#[test]
fn many_mistakes_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mainstay.yaml");
    std::fs::write(&file, (0..150).map(|it| format!("k{it}: 1\n")).collect::<String>()).expect("a file");
    let shown = told(&[file.to_str().expect("UTF-8")], &[]);
    assert!(shown.ends_with("and 50 more\n\n150 mistakes, nothing was started\n"), "{shown}");
    assert_eq!(shown.matches("unknown key").count(), 100);
}

#[test]
fn programs_get_places_and_texts() {
    let output = check(&["many-mistakes.yaml", "--output", "json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["ok"], false);
    let first = &document["problems"][0];
    assert_eq!(first["source"], "many-mistakes.yaml");
    assert_eq!((&first["line"], &first["column"]), (&2.into(), &7.into()));
    assert_eq!((&first["path"], &first["text"]), (&"data".into(), &"42".into()));
    let valid = check(&["layered.yaml", "--output", "json", "--explain"], &[]);
    assert_eq!(valid.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&valid.stdout).expect("JSON");
    assert_eq!(document["ok"], true);
    assert_eq!(document["settings"][0]["path"], "data");
}
