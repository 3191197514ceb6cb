//! Layers, paths and secrets, through [`load`].

use std::fs;

use super::*;

struct Case {
    directory: tempfile::TempDir,
    request: Request,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        let request = Request { directory: directory.path().into(), ..Request::default() };
        Self { directory, request }
    }

    fn env(mut self, env: &str) -> Self {
        self.request.env = Some(env.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.request.variables.push((name.into(), value.into()));
        self
    }

    fn set(mut self, text: &str) -> Self {
        self.request.sets.push(text.into());
        self
    }

    #[track_caller]
    fn load(&self) -> Loaded {
        load(&self.request).unwrap_or_else(|findings| panic!("{}", findings.render(false)))
    }

    #[track_caller]
    fn refused(&self) -> String {
        load(&self.request).expect_err("a mistake").render(false)
    }
}

/// What `key` is and where it comes from, the file without its directory.
#[track_caller]
fn setting(loaded: &Loaded, key: &str) -> (String, String) {
    let all = explain::settings(loaded);
    let found = all.iter().find(|it| it.path == key).unwrap_or_else(|| panic!("{key} in {all:?}"));
    let origin = found.origin.rsplit('/').next().unwrap_or_default();
    (schema::bare(&found.value), origin.to_owned())
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.into(), origin.into())
}

const LEVEL: &str = "telemetry.logs.level";

#[test]
fn each_layer_wins_over_the_ones_before() {
    let base = ("mainstay.yaml", "telemetry: { logs: { level: warn } }\nshutdown: { drain: 5s }\n");
    let prod = ("mainstay.prod.yaml", "telemetry:\n  logs:\n    level: error\n");
    let level = |case: &Case| setting(&case.load(), LEVEL);

    assert_eq!(level(&Case::new(&[])), pair("info", "default"));
    assert_eq!(level(&Case::new(&[base])), pair("warn", "mainstay.yaml:1:29"));
    let case = Case::new(&[base, prod]).env("prod");
    assert_eq!(level(&case), pair("error", "mainstay.prod.yaml:3:12"));
    assert_eq!(setting(&case.load(), "shutdown.drain"), pair("5s", "mainstay.yaml:2:20"));
    let case = case.variable("MAINSTAY__TELEMETRY__LOGS__LEVEL", "debug");
    assert_eq!(level(&case), pair("debug", "MAINSTAY__TELEMETRY__LOGS__LEVEL"));
    let case = case.set("telemetry.logs.level=trace");
    assert_eq!(level(&case), pair("trace", "--set"));
    let case = case.set("telemetry.logs.level=off");
    assert_eq!(level(&case), pair("off", "--set"), "the last one wins");
}

#[test]
fn an_empty_value_returns_a_key_to_its_default() {
    let case = Case::new(&[("mainstay.yaml", "telemetry:\n  logs:\n    level: warn\nlisten:\n")]);
    let case = case.set("telemetry.logs.level=");
    assert_eq!(case.load().config.telemetry.logs.level, crate::telemetry::logs::Level::Info);
}

#[test]
fn the_variable_chooses_the_environment_and_the_flag_wins() {
    let files = [("mainstay.a.yaml", "node: { id: a }"), ("mainstay.b.yaml", "node: { id: b }")];
    let case = Case::new(&files).variable("MAINSTAY_ENV", "a");
    assert_eq!(case.load().config.node.id.to_string(), "a");
    let case = case.env("b");
    assert_eq!(case.load().config.node.id.to_string(), "b");
    let case = Case::new(&files).variable("MAINSTAY_ENV", "");
    assert_eq!(case.load().env, None);
}

#[test]
fn values_from_a_shell_are_text_where_text_is_wanted() {
    let case =
        Case::new(&[]).set("node.id=7").set("api.hosts=[a.local, b.local]").set("api.connections_max=9");
    let config = case.load().config;
    assert_eq!(config.node.id.to_string(), "7");
    assert_eq!(config.api.hosts, ["a.local", "b.local"]);
    assert_eq!(config.api.connections_max, 9);
}

#[test]
fn relative_paths_start_from_their_source() {
    let case = Case::new(&[("mainstay.yaml", "data: ./here\n")]);
    assert_eq!(case.load().config.data.as_path(), case.directory.path().join("here"));
    let case = Case::new(&[("mainstay.yaml", "data: /var/lib/x\n")]);
    assert_eq!(case.load().config.data.as_path(), Path::new("/var/lib/x"));
    let case = Case::new(&[]);
    assert_eq!(case.load().config.data.as_path(), case.directory.path().join("data"));
}

#[test]
fn a_secret_is_loaded_and_never_shown() {
    const SECRET: &str = "correct-horse-battery";
    let yaml = ("mainstay.yaml", "listen: { api: '0.0.0.0:7070' }\napi: { token: '${file:token}' }\n");
    let case = Case::new(&[yaml, ("token", "correct-horse-battery\n")]);
    let loaded = case.load();
    let token = loaded.config.api.token.as_ref().expect("a token");
    assert_eq!(token.expose(), SECRET);
    let shown = format!("{loaded:?}{}{:?}", explain::yaml(&loaded), explain::settings(&loaded));
    assert!(shown.contains("token") && !shown.contains(SECRET));

    let case = Case::new(&[]).set("api.token=${env:T}").variable("T", SECRET);
    assert_eq!(case.load().config.api.token.expect("a token").expose(), SECRET);
}

#[test]
fn a_secret_written_out_is_refused_without_showing_it() {
    const SECRET: &str = "correct-horse-battery";
    let file = format!("api:\n  token: {SECRET}\n");
    let by_file = Case::new(&[("mainstay.yaml", &file)]).refused();
    let by_set = Case::new(&[]).set(&format!("api.token={SECRET}")).refused();
    let by_variable = Case::new(&[]).variable("MAINSTAY__API__TOKEN", SECRET).refused();
    let as_list = Case::new(&[("mainstay.yaml", &format!("api: {{ token: [{SECRET}] }}"))]).refused();
    for shown in [by_file, by_set, by_variable, as_list] {
        assert!(shown.contains("never itself") || shown.contains("not a reference"), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn what_is_explained_is_itself_a_valid_configuration() {
    let case = Case::new(&[("mainstay.yaml", "node: { id: '1e3' }\napi: { hosts: ['true', \"a\\tb\"] }")]);
    let explained = explain::yaml(&case.load());
    let again = Case::new(&[("mainstay.yaml", &explained)]);
    assert_eq!(again.load().config.node, case.load().config.node);
}

#[test]
fn a_rule_over_several_values_points_at_one() {
    let case = Case::new(&[("mainstay.yaml", "listen:\n  api: 192.0.2.1:7070\n")]);
    let shown = case.refused();
    assert!(shown.contains("mainstay.yaml:2:8") && shown.contains("without authentication"), "{shown}");
}

#[test]
fn only_what_a_process_can_change_is_changed_without_a_restart() {
    let now = Config::default();
    let mut next = now.clone();
    next.shutdown.drain = mainstay_base::units::Duration::from_secs(1);
    next.api.connections_max = 1;
    assert!(now.needs_restart(&next).is_empty());
    next.data = FilePath::new("/elsewhere");
    next.listen.api = Address::loopback(1);
    next.telemetry.logs.format = crate::telemetry::logs::Format::Json;
    let keys = now.needs_restart(&next).join(" ");
    for key in ["`data` (./data -> /elsewhere)", "`listen.api`", "`telemetry.logs.format`"] {
        assert!(keys.contains(key), "{keys}");
    }
}
