//! Which connection strings are understood, and what is said of the others.

use super::*;

fn server(url: &str) -> Result<Server, Invalid> {
    url.parse()
}

fn problem(url: &str) -> String {
    server(url).expect_err(&format!("{url} is refused")).to_string()
}

#[test]
fn urls_say_where_the_server_is() {
    for (url, shown, tls) in [
        ("postgres://app@db.example/log", "postgres://app@db.example:5432/log", TlsMode::VerifyFull),
        ("postgresql://app@db.example:6000/log", "postgres://app@db.example:6000/log", TlsMode::VerifyFull),
        ("postgres://app@localhost/log", "postgres://app@localhost:5432/log", TlsMode::Prefer),
        ("postgres://app@127.0.0.2/log", "postgres://app@127.0.0.2:5432/log", TlsMode::Prefer),
        ("postgres://app@[::1]:1/log", "postgres://app@[::1]:1/log", TlsMode::Prefer),
        (
            "postgres://app@localhost/log?sslmode=verify-ca",
            "postgres://app@localhost:5432/log",
            TlsMode::VerifyCa,
        ),
        ("postgres://app@a:1,b:2/log", "postgres://app@a:1,b:2/log", TlsMode::VerifyFull),
        ("postgres://app@localhost,b/log", "postgres://app@localhost:5432,b:5432/log", TlsMode::VerifyFull),
        ("postgres://app@%2Frun%2Fpg/log", "postgres://app@/run/pg:5432/log", TlsMode::Disable),
        (
            "postgres://app@%2Frun%2Fpg/log?sslmode=require",
            "postgres://app@/run/pg:5432/log",
            TlsMode::Disable,
        ),
        ("postgres://app@db/log?sslmode=disable", "postgres://app@db:5432/log", TlsMode::Disable),
        ("postgres://app@db/log?sslmode=prefer", "postgres://app@db:5432/log", TlsMode::Prefer),
        (
            "postgres://app@localhost/log?hostaddr=10.0.0.5",
            "postgres://app@localhost:5432/log",
            TlsMode::VerifyFull,
        ),
        (
            "postgres://app@localhost/log?hostaddr=127.0.0.1",
            "postgres://app@localhost:5432/log",
            TlsMode::Prefer,
        ),
    ] {
        let server = server(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!((server.to_string().as_str(), server.tls_mode()), (shown, tls), "{url}");
    }
}

#[test]
fn parameters_are_passed_on_and_ours_are_kept() {
    let url =
        "postgres://app@db/log?application_name=shop&sslrootcert=%2Fetc%2Froot%20ca.pem&keepalives_idle=7";
    let server = server(url).unwrap();
    assert_eq!(server.config().get_application_name(), Some("shop"));
    assert_eq!(server.config().get_keepalives_idle(), std::time::Duration::from_secs(7));
    assert_eq!(server.root_certificates(), Some(&PathBuf::from("/etc/root ca.pem")));
}

#[test]
fn of_several_hosts_one_that_takes_writes_is_used() {
    let attributes = |url| server(url).unwrap().config().get_target_session_attrs();
    assert_eq!(attributes("postgres://app@a,b/log"), TargetSessionAttrs::ReadWrite);
    assert_eq!(attributes("postgres://app@a/log"), TargetSessionAttrs::Any);
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    for (url, words) in [
        ("", "must begin with `postgres://`"),
        ("mysql://app@db/log", "must begin with `postgres://`"),
        ("host=db user=app", "must begin with `postgres://`"),
        ("postgres://db/log", "names no user"),
        ("postgres://app@/log", "names no host"),
        ("postgres://app@db", "names no database"),
        ("postgres://app@db/", "names no database"),
        ("postgres://app@db:port/log", "a port is a number"),
        ("postgres://app@db/log?sslmode=on", "unknown `sslmode`"),
        ("postgres://app@db/log?x=1", "unknown parameter at place 1"),
        ("postgres://app@db/log?port=1&options=-cfsync%3Doff", "unknown parameter at place 2"),
        ("postgres://app@db/log?sslrootcert=%FF", "not UTF-8"),
        ("postgres://app@a,b/log?hostaddr=10.0.0.1", "1 of `hostaddr` for 2 of hosts"),
        ("postgres://app@%2Frun,db/log", "Unix sockets and other hosts"),
    ] {
        let problem = problem(url);
        assert!(problem.starts_with("`url` ") && problem.contains(words), "{url}: {problem}");
    }
}

#[test]
fn no_password_is_shown_whatever_it_looks_like() {
    const SECRET: &str = "hunter2";
    for password in [
        "hunter2",
        "hunter2%40",
        "%3Ahunter2",
        "hunter2?hunter2=hunter2",
        "a@hunter2:hunter2/hunter2",
        "a@hunter2",
        "a@hunter2/hunter2",
        "%hunter2",
        "#hunter2",
        "hunter2&hunter2",
    ] {
        for rest in ["@db/log", "@db:x/log", "@db/log?sslmode=hunter2", "@db/log?hunter2=hunter2"] {
            let url = format!("postgres://app:{password}{rest}");
            let shown = match server(&url) {
                Ok(server) => format!("{server} {server:?} {:?}", Options::new(server.clone())),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains(SECRET), "{url}: {shown}");
        }
    }
    let server = server("postgres://app@db/log").unwrap().with_password(SECRET);
    assert_eq!(server.config().get_password(), Some(SECRET.as_bytes()));
    assert!(!format!("{server} {server:?}").contains(SECRET));
}

#[test]
fn a_schema_is_a_plain_name() {
    let longest = "a".repeat(40);
    for name in ["a", "mainstay_log", "log_2", &longest] {
        assert_eq!(name.parse::<Schema>().unwrap().as_str(), name);
    }
    let too_long = "a".repeat(41);
    for name in ["", "A", "2log", "_log", "pg_log", "a-b", "a\"b", "a;b", "a.b", "ä", &too_long] {
        assert_eq!(name.parse::<Schema>().unwrap_err().option, "schema", "{name}");
    }
}

#[test]
fn options_are_within_their_ranges() {
    let refused = |change: fn(&mut Options)| {
        let mut options = Options::new(server("postgres://app@db/log").unwrap());
        options.check().expect("the defaults are right");
        change(&mut options);
        options.check().expect_err("it is refused").option
    };
    assert_eq!(refused(|it| it.durability = Durability::Memory), "durability");
    assert_eq!(refused(|it| it.record_max = Size::from_bytes(1023)), "record_max");
    assert_eq!(refused(|it| it.record_max = Size::from_mib(257)), "record_max");
    assert_eq!(refused(|it| it.connections_max = 1), "connections_max");
    assert_eq!(refused(|it| it.connections_max = 513), "connections_max");
    assert_eq!(refused(|it| it.waiting_max = 31), "waiting_max");
    assert_eq!(refused(|it| it.connect_timeout = Duration::from_micros(1)), "connect_timeout");
    assert_eq!(refused(|it| it.poll_interval = Duration::from_secs(3601)), "poll_interval");
    assert_eq!(refused(|it| it.lock_timeout = Duration::from_secs(11)), "lock_timeout");
    assert_eq!(refused(|it| it.answer_timeout = it.statement_timeout), "answer_timeout");
}
