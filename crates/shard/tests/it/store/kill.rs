//! Processes that are killed while they write to a store: it is the state after one record, which was durable or later.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, io};

use super::*;

/// Where the process finds its directory.
const DIRECTORY: &str = "MAINSTAY_TEST_STORE";

/// Keeps a state up to date, which would otherwise be made from the beginning each time.
#[derive(Default)]
struct Expected {
    rows: Memory,
    index: u64,
}

impl Expected {
    fn at(&mut self, index: u64) -> &Memory {
        assert!(index >= self.index, "what was durable is there");
        (self.index + 1..=index).for_each(|index| self.rows.apply(&batch(index)));
        self.index = index;
        &self.rows
    }
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let name = module_path!().split_once("::").expect("it is a module of the binary").1;
        let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
        command.args([&format!("{name}::works"), "--exact", "--nocapture", "--ignored"]);
        command.env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the process starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, lines }
    }

    /// The next durable index that it tells; none when it has ended.
    fn next(&mut self) -> Option<u64> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).expect("what it tells is text") == 0 {
                return None;
            }
            // The rest is what test binaries print, or half a line.
            if let Some(index) = line.strip_prefix("durable ").and_then(|rest| rest.strip_suffix(".\n")) {
                return Some(index.parse().expect("it tells a number"));
            }
        }
    }

    /// Ends it by SIGKILL, and returns the last that it had told.
    fn kill(mut self) -> Option<u64> {
        self.child.kill().expect("it is ours to kill");
        let last = std::iter::from_fn(|| self.next()).last();
        self.child.wait().expect("it has ended");
        last
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed; if it has ended already there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(seed: u64, rounds: usize) -> u64 {
    let (random, directory) = (Random::new(seed), folder());
    let mut expected = Expected::default();
    for _ in 0..rounds {
        let mut process = Process::start(directory.path());
        let (flushes, mut last) = (random.below(5), None);
        let mut told = || *last.insert(process.next().expect("it works until it is killed"));
        for _ in 0..flushes {
            let durable = told();
            while told() == durable {}
        }
        (0..random.below(100_000)).for_each(|_| std::hint::spin_loop());
        let durable = process.kill().or(last).unwrap_or(0);
        let pool = pool(&small());
        let store = open(&pool, directory.path());
        let index = store.applied().get();
        assert!(index >= durable, "{durable} was durable, {index} is there");
        assert_shows(&store.view(), index, expected.at(index));
        store.close().expect("nothing holds it");
    }
    expected.index
}

#[test]
fn after_a_kill_a_store_is_the_state_after_one_record() {
    let index = kill(1, 6);
    assert!(index > 30, "{index} records prove little");
}

#[test]
#[ignore = "takes minutes"]
fn after_many_kills_a_store_is_the_state_after_one_record() {
    for seed in 2..12 {
        kill(seed, 50);
    }
}

#[test]
#[ignore = "is the process that other tests start; by itself it does nothing"]
fn works() {
    #[expect(clippy::disallowed_methods, reason = "how the process gets its directory")]
    let Ok(directory) = env::var(DIRECTORY) else { return };
    let tell = |line: String| {
        // One write, so that nothing tears it. When nobody listens any more, the process ends.
        io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
    };
    // What the test binary has printed may lack its end of line.
    tell("\n".into());
    let pool = pool(&small());
    let store = open(&pool, Path::new(&directory));
    let first = store.applied().get() + 1;
    for index in first..first + 100_000 {
        apply(&store, index);
        if index % 10 == 0 {
            tell(format!("durable {}.\n", store.durable_applied()));
        }
    }
}
