//! Layers, paths and secrets, through [`load`].

mod shards;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

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

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Everything that anybody is told.
fn told(findings: &Findings) -> String {
    let records = serde_json::to_string(&findings.records()).expect("plain data");
    format!("{}{records}{}{findings:?}", findings.render(false), findings.lines().join("\n"))
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
fn no_neighbour_of_a_secret_shows_it() {
    const SECRET: &str = "hunter2";
    for text in [
        "api: { token: hunter2, bogus: 1 }",
        "api: { token: [a, hunter2], bogus: 1 }",
        "api: { token: { x: hunter2 }, bogus: 1 }",
        "api: { token: '${env:T}', token: hunter2 }",
        "api: { token: '${env:T}' }\napi: { token: hunter2 }",
        "api: { token: !x hunter2, bogus: 1 }",
        "api:\n  token: !x hunter2\n",
        "api:\n  token: |\n    hunter2\n  bogus: 1",
        "api: { token: \"a\n  hunter2\", bogus: 1 }",
        "api: { tokn: hunter2, bogus: 1 }",
        "api: { api_token: hunter2 }",
        "api: { Token: hunter2 }",
        "api: { password: hunter2 }",
        "ap: { token: hunter2, bogus: 1 }",
        "token: hunter2",
        "api: hunter2",
        "api: token:hunter2",
        "api: [hunter2, 1]",
        "hunter2",
        "- hunter2",
        "<<: { token: hunter2 }",
        "? [a]\n: hunter2",
        "api: { token: &t hunter2 }\nlisten: { api: *t }",
        "data: &t hunter2\napi: { token: *t, connections_max: *t }",
        "api: { bogus: 1 } # token: hunter2",
        "api: { body_max: 'token=hunter2' }",
        // From here on nothing can be read.
        "api:\n  token: \"hunter2\n",
        "api:\n  token: \"a\n  hunter2\n  ]",
        "api: { token: hunter2, hosts: [ }",
        "api: { \"token\" : hunter2 ]",
        "api: { tokn: hunter2 ]",
        "api: { password: hunter2 ]",
        "api:\n  token: |\n    hunter2: [\n  ]",
        "api:\n  token: a: hunter2: [",
        "a: 1\n---\ntoken: hunter2",
    ] {
        let case = Case::new(&[("mainstay.yaml", text)]).variable("T", "long enough to be a token");
        let told = told(&load(&case.request).expect_err(text));
        assert!(!told.contains(SECRET), "{text}\n{told}");
    }
    for set in [
        "api.token=hunter2",
        "api.tokn=hunter2",
        "api.token.x=hunter2",
        "api.\"token=hunter2",
        "api.token:hunter2",
        "api.token=\"hunter2",
        "api={ token: hunter2, bogus: 1 }",
        "api={ token: hunter2",
        "api=hunter2",
        "=hunter2",
    ] {
        let told = told(&load(&Case::new(&[]).set(set).request).expect_err(set));
        assert!(!told.contains(SECRET), "{set}\n{told}");
    }
    for name in ["MAINSTAY__API__TOKEN", "MAINSTAY__API__TOKN", "MAINSTAY__API", "MAINSTAY__TOKEN"] {
        let case = Case::new(&[]).variable(name, SECRET);
        let told = told(&load(&case.request).expect_err(name));
        assert!(!told.contains(SECRET) && told.contains(name), "{name}\n{told}");
    }
    let case = Case::new(&[]).variable("X", SECRET).set("api.token=hunter2");
    assert!(!format!("{:?}", case.request).contains(SECRET));
}

#[test]
fn what_is_no_secret_is_shown() {
    for (text, shown) in [
        ("api: { conections_max: 10 }", "conections_max: 10"),
        ("node: { id: [n1, n2] }", "[n1, n2]"),
        ("- data: ./here", "- data: ./here"),
        ("listen: { api: \"[::1]:70700\" }", "[::1]:70700"),
        ("api: { token: '${env:T}', bogus: 1 }", "${env:T}"),
        ("node: { id: a }\nnode: { id: b }", "node: { id: b }"),
        ("api: { hosts: [a, b\nshutdown: { drain: 5s }", "drain: 5s"),
    ] {
        let told = Case::new(&[("mainstay.yaml", text)]).refused();
        assert!(told.contains(shown), "{told}");
    }
}

#[test]
fn a_secret_must_be_one_that_can_be_sent() {
    for (value, problem) in [
        ("correct horse battery staple", "character 8"),
        ("correct-horse-battery ", "character 22"),
        ("correct-horse-battéry", "character 19"),
        ("short\n\n\n\n\n\n\n\n\n\n\n\n\n", "5 characters"),
        ("", "is empty"),
    ] {
        let told = Case::new(&[]).set("api.token=${env:T}").variable("T", value).refused();
        assert!(told.contains(problem) && !told.contains("orse"), "{told}");
    }
    let case = Case::new(&[]).set("api.token=${env:T}");
    assert!(case.refused().contains("the variable T is not set"));
    let mut case = Case::new(&[]).set("api.token=${env:T}");
    case.request.variables.push(("T".into(), OsString::from_vec(vec![0xff])));
    assert!(case.refused().contains("the variable T is not UTF-8"));
    let case = Case::new(&[]).set("api.token=${env:T}").variable("T", "correct-horse-battery\r\n\n");
    assert_eq!(case.load().config.api.token.expect("a token").expose(), "correct-horse-battery");
}

#[test]
fn only_a_near_miss_of_a_variable_is_warned_of_and_never_shown() {
    let case = Case::new(&[("mainstay.yaml", "api: { token: '${env:MAINSTAY_API_TOKEN}' }")])
        .variable("MAINSTAY_API_TOKEN", "correct-horse-battery")
        .variable("MAINSTAY_PORT", "tcp://10.0.0.1:7070")
        .variable("MAINSTAY_SERVICE_HOST", "10.0.0.1")
        .variable("MAINSTAY_API", "x");
    assert_eq!(case.load().findings.lines(), [""; 0]);
    let case = Case::new(&[]).variable("MAINSTAY_API_BODY_MAX", "hunter2").variable("MAINSTAY_DATA", "x");
    let findings = case.load().findings;
    assert_eq!((findings.errors(), findings.warnings()), (0, 2));
    let told = told(&findings);
    assert!(told.contains("MAINSTAY__API__BODY_MAX") && told.contains("MAINSTAY__DATA"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn variables_that_are_no_text_are_mistakes() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    for (name, value, problem) in [
        (bytes(b"MAINSTAY_ENV"), bytes(b"\xff"), "MAINSTAY_ENV: the value is not UTF-8"),
        (bytes(b"MAINSTAY__DATA"), bytes(b"/\xff"), "MAINSTAY__DATA: the value is not UTF-8"),
        (bytes(b"MAINSTAY__\xff"), bytes(b"x"), "the name of this variable is not UTF-8"),
    ] {
        let mut case = Case::new(&[]);
        case.request.variables.push((name, value));
        let lines = load(&case.request).expect_err(problem).lines();
        assert!(lines.len() == 1 && lines[0].contains(problem), "{lines:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let case = Case::new(&[("mainstay.yaml", "api: { token: '${file:pipe}' }")]);
    let mode = rustix::fs::Mode::RWXU;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, case.path("pipe"), kind, mode, 0).expect("a pipe");
    assert!(case.refused().contains("pipe is a pipe, not a regular file"));
    let mut case = Case::new(&[]);
    for device in ["/dev/zero", "/dev/null"] {
        case.request.file = Some(device.into());
        assert!(case.refused().contains("the file is a device"));
    }
    let large = "x".repeat((64 << 10) + 1);
    let case = Case::new(&[("token", &large)]).set("api.token=${file:token}");
    assert!(case.refused().contains("token is over 64KiB"));
}

#[test]
fn the_file_is_chosen_once() {
    let case = Case::new(&[("mainstay.yaml", "node: { id: a }"), ("mainstay.b.yaml", "node: { id: b }")]);
    let case = case.variable("MAINSTAY_ENV", "b");
    let loaded = case.load();
    assert_eq!(loaded.files, [case.path("mainstay.yaml"), case.path("mainstay.b.yaml")]);
    assert_eq!(loaded.request.env.as_deref(), Some("b"));
    fs::remove_file(case.path("mainstay.yaml")).expect("removed");
    let told = load(&loaded.request).expect_err("it is missing").render(false);
    assert!(told.contains("mainstay.yaml") && told.contains("cannot be read"), "{told}");

    let case = Case::new(&[]);
    let loaded = case.load();
    assert!(loaded.files.is_empty());
    fs::write(case.path("mainstay.yaml"), "node: { id: late }").expect("a file");
    let later = load(&loaded.request).expect("a file that appeared");
    assert_eq!(later.config.node.id.to_string(), "late");
    fs::remove_file(case.path("mainstay.yaml")).expect("removed");
    load(&later.request).expect_err("it is missing");
}

#[test]
fn a_link_to_nothing_is_a_missing_file() {
    for name in ["mainstay.yaml", "mainstay.b.yaml"] {
        let case = Case::new(&[]).env("b");
        fs::write(case.path("mainstay.b.yaml"), "").expect("a file");
        let _ = fs::remove_file(case.path(name));
        std::os::unix::fs::symlink("nothing", case.path(name)).expect("a link");
        let told = case.refused();
        assert!(told.contains(name) && told.contains("cannot be read"), "{told}");
    }
}

#[test]
fn the_name_of_an_environment_is_checked() {
    let file = [("mainstay.a.b.yaml", ""), ("mainstay.ab.yaml", "")];
    for env in ["a.b", "../../etc/x", "", "ä"] {
        let told = Case::new(&file).env(env).refused();
        assert!(told.contains("cannot be the name of an environment") && told.contains("letters"), "{told}");
        assert!(!told.contains("did you mean"), "{told}");
    }
    let told = Case::new(&file).env("ac").refused();
    assert!(told.contains("environments with a file here: ab\n"), "{told}");
}

#[test]
fn null_returns_to_the_default_at_every_depth_and_in_every_layer() {
    let nulls = "data:\napi: ~\nlisten: { api: ~ }\ntelemetry: { logs: { rooms: } }\n";
    let case = Case::new(&[("mainstay.yaml", nulls)]);
    let loaded = case.load();
    let expected = Config { data: FilePath::new(case.path("data")), ..Config::default() };
    assert_eq!(loaded.config, expected);
    assert_eq!(setting(&loaded, "api.body_max"), pair("8MiB", "default"));
    let layers = [("mainstay.yaml", "api: { body_max: 1KiB }"), ("mainstay.b.yaml", "api:")];
    let case = Case::new(&layers).env("b").set("api.connections_max=9");
    let api = case.load().config.api;
    assert_eq!(api, crate::api::Config { connections_max: 9, ..Default::default() });
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    for text in ["1e3", "1000.0", "+1000"] {
        let case = Case::new(&[("mainstay.yaml", &format!("api: {{ connections_max: {text} }}"))]);
        assert_eq!(case.load().config.api.connections_max, 1_000, "{text}");
    }
    assert!(Case::new(&[]).set("api.connections_max=1.5").refused().contains("a whole number"));
    assert!(Case::new(&[]).set("api.connections_max=1e300").refused().contains("a whole number"));
}

#[test]
fn what_only_the_type_refuses_has_a_place() {
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is of interest")]
        inner: BTreeMap<String, Vec<u8>>,
    }
    let mut sources = Sources::new(Path::new("."));
    let text = "inner:\n  a: [1, 300]\n";
    let source = sources.add(source::Source::new(source::Kind::File, "test.yaml", text, Path::new(".")));
    let tree = yaml::parse(&sources, source, 0).node.expect("a document");
    let found = deserialize::<Outer>(&tree).expect_err("300 is no u8");
    let it = &found[0];
    assert_eq!((sources.place(it.origin).as_str(), it.path.as_str()), ("test.yaml:2:10", "inner.a[1]"));
}

#[test]
fn text_from_a_shell_is_taken_as_it_is() {
    for (set, data) in [
        ("data=/tmp/x #1", "/tmp/x #1"),
        ("data=/tmp/{a", "/tmp/{a"),
        ("data=/tmp/x: y", "/tmp/x: y"),
        ("data='/tmp/q' # quoted", "/tmp/q"),
    ] {
        assert_eq!(Case::new(&[]).set(set).load().config.data.as_path(), Path::new(data), "{set}");
    }
    let told = Case::new(&[]).set("api.hosts=#x").refused();
    assert!(told.contains("write `[#x]`"), "{told}");
}

#[test]
fn many_mistakes_are_counted_and_few_are_shown() {
    let keys = |count: usize| (0..count).map(|it| format!("k{it}: 1\n")).collect::<String>();
    let case = Case::new(&[("mainstay.yaml", &keys(20_000))]).variable("MAINSTAY_DATA", "x");
    let findings = load(&case.request).expect_err("unknown keys");
    assert_eq!((findings.errors(), findings.warnings()), (20_000, 1));
    assert_eq!((findings.records().len(), findings.omitted()), (100, 19_901));
    assert_eq!(findings.lines().last().map(String::as_str), Some("and 19901 more"));
    assert!(findings.render(false).ends_with("and 19901 more\n\n"));
    let twice = format!("{}{}", keys(20_000), keys(20_000));
    let findings = load(&Case::new(&[("mainstay.yaml", &twice)]).request).expect_err("written twice");
    assert_eq!(findings.errors(), 40_000);
    let wide = format!("{{ data: {}, bogus: 1 }}", "x".repeat(2_000_000));
    let told = Case::new(&[("mainstay.yaml", &wide)]).refused();
    assert!(told.contains("mainstay.yaml:1:2000011") && told.len() < 2_000, "{}", told.len());
    let loud = format!("listen: {{ api: {} }}", "x".repeat(2_000_000));
    assert!(Case::new(&[("mainstay.yaml", &loud)]).refused().len() < 2_000);
}

#[test]
fn places_far_apart_are_shown_apart() {
    let text = format!("data: a\n{}data: b\n", "# filler\n".repeat(500));
    let told = Case::new(&[("mainstay.yaml", &text)]).refused();
    assert!(told.contains("\n  1 | data: a\n") && told.contains("\n502 | data: b\n"), "{told}");
    assert!(told.contains("first written here") && !told.contains("filler"), "{told}");
}

#[test]
fn a_stop_cannot_linger_longer_than_it_drains() {
    let told = Case::new(&[("mainstay.yaml", "shutdown: { drain: 1s, linger: 2s }")]).refused();
    assert!(told.contains("shutdown.linger") && told.contains("at most 1s"), "{told}");
    let told = Case::new(&[("mainstay.yaml", "shutdown: { drain: 100ms }")]).refused();
    assert!(told.contains("mainstay.yaml:1:20"), "it points at what was written: {told}");
    Case::new(&[]).set("shutdown.drain=1s").set("shutdown.linger=1s").load();
}

#[test]
fn a_data_directory_that_cannot_be_made_is_found_out_before_the_start() {
    let case = Case::new(&[("mainstay.yaml", "data: f/x"), ("f", "")]);
    assert!(case.refused().contains("exists and is not a directory"));
    let long = format!("data=/tmp/{}", "x".repeat(256));
    assert!(Case::new(&[]).set(&long).refused().contains("File name too long"));
    let told = Case::new(&[("mainstay.yaml", "data: \"a\\0b\"")]).refused();
    assert!(told.contains("NUL"), "{told}");
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
