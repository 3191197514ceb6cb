//! The way of log lines to stderr: a bounded queue, and one thread that empties it.
//!
//! Whoever logs never waits for the one who reads. A line that finds the queue full is dropped and counted, as is
//! one that cannot be written; once the reader has caught up, a log line says how many are missing.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use rustix::event::{PollFd, PollFlags, poll};

/// Bytes that wait at most, about 8,000 lines. As many again may be with the writer.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Memory that an idle queue keeps.
const IDLE_BYTES: usize = 64 * 1024;
/// What the system writes to a pipe in one piece (`PIPE_BUF`): whole lines up to here are written at once, so that
/// those of processes that share a pipe do not tear each other apart.
const PIECE_BYTES: usize = 4096;

/// How long lines that have time may wait for others, so that they are written together: waking a thread and writing cost more than a line.
const LINGER: Duration = Duration::from_millis(100);
/// Lines that have time are written once there are so many bytes of them.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How soon a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// At once: whoever looks at the log looks for it.
    Now,
    /// With others, of which there are many: the access log.
    Soon,
}

/// Lines between those who log and the one who writes.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// What waits is to be written at once.
    is_urgent: bool,
    /// The writer shall end once nothing waits.
    closing: bool,
    /// The writer has ended. Nothing is taken any more.
    ended: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        let help = "Log lines that were not written because stderr was not read fast enough or refused them.";
        let dropped = IntCounter::new("mainstay_telemetry_lines_dropped_total", help);
        let dropped = dropped.expect("a valid metric");
        Self { state: Mutex::default(), changed: Condvar::new(), dropped }
    }

    /// Counts the lines that were dropped.
    pub fn dropped(&self) -> &IntCounter {
        &self.dropped
    }

    /// Adds one or more whole lines, or drops them. Never waits for the writer.
    pub fn push(&self, lines: &[u8], haste: Haste) {
        let mut state = self.lock();
        if state.ended || state.waiting.len() + lines.len() > WAITING_BYTES_MAX {
            self.dropped.inc_by(count(lines));
            return;
        }
        let is_first = state.waiting.is_empty();
        state.waiting.extend_from_slice(lines);
        let is_urgent = haste == Haste::Now || state.waiting.len() >= LINGER_BYTES_MAX;
        let becomes_urgent = is_urgent && !state.is_urgent;
        state.is_urgent |= is_urgent;
        drop(state);
        if is_first || becomes_urgent {
            self.changed.notify_all();
        }
    }

    /// Writes what comes until the queue is closed and empty. `report` is called with the number of lines that
    /// were dropped since the last call, when writing works again and the queue is less than half full.
    pub fn write_to(&self, out: &mut impl Write, report: impl Fn(u64)) {
        let (mut batch, mut reported) = (Vec::new(), 0);
        while self.next(&mut batch) {
            let written = self.write(&batch, out);
            batch.clear();
            batch.shrink_to(IDLE_BYTES);
            let dropped = self.dropped.get();
            // Without the condition on `written`, a report that cannot be written would cause the next.
            if written && dropped > reported && self.lock().waiting.len() < WAITING_BYTES_MAX / 2 {
                report(dropped - reported);
                reported = dropped;
            }
        }
    }

    /// Lets the writer end once nothing waits.
    pub fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Closes, and waits until everything is written, but not longer than `within`. Returns whether it is.
    pub fn finish(&self, within: Duration) -> bool {
        self.close();
        let waited = self.changed.wait_timeout_while(self.lock(), within, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Waits for lines and moves them into `batch`, which is empty. False when there will be no more.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closing;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let has_time = |state: &mut State| !state.is_urgent && !state.closing;
        let waited = self.changed.wait_timeout_while(state, LINGER, has_time);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        state.is_urgent = false;
        state.ended = batch.is_empty();
        if state.ended {
            self.changed.notify_all();
        }
        !state.ended
    }

    /// Writes a batch in pieces of whole lines; pieces that cannot be written are counted. Returns whether all were.
    fn write(&self, mut batch: &[u8], out: &mut impl Write) -> bool {
        let mut written = true;
        while !batch.is_empty() {
            let (piece, rest) = batch.split_at(piece_len(batch));
            if out.write_all(piece).is_err() {
                self.dropped.inc_by(count(piece));
                written = false;
            }
            batch = rest;
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines of one haste.
pub struct Lines<'q> {
    pub queue: &'q Queue,
    pub haste: Haste,
}

impl Write for Lines<'_> {
    /// Takes the whole, which is one line: `tracing-subscriber` formats a line before it writes.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.haste);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The length of as many whole lines as fit into a piece, but at least one.
fn piece_len(batch: &[u8]) -> usize {
    if batch.len() <= PIECE_BYTES {
        return batch.len();
    }
    let last = batch[..PIECE_BYTES].iter().rposition(|byte| *byte == b'\n');
    let end = last.or_else(|| batch.iter().position(|byte| *byte == b'\n'));
    end.map_or(batch.len(), |at| at + 1)
}

/// A file that may have been made non-blocking by whoever shares it, as terminals are: waits until it takes more.
pub struct Patient<F>(pub F);

impl<F: Write + AsFd> Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    /// Shows each write, and does with it as it is told; once the test no longer listens, all is well.
    struct Told {
        writes: SyncSender<String>,
        answers: Receiver<io::Result<()>>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.writes.send(String::from_utf8_lossy(bytes).into_owned());
            self.answers.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told() -> (Told, Receiver<String>, SyncSender<io::Result<()>>) {
        let ((writes, seen), (answer, answers)) = (sync_channel(64), sync_channel(64));
        (Told { writes, answers }, seen, answer)
    }

    fn missing(queue: &Queue, lines: u64) {
        queue.push(format!("{lines} missing\n").as_bytes(), Haste::Now);
    }

    fn written(queue: &Queue) -> Vec<u8> {
        let mut out = Vec::new();
        queue.close();
        queue.write_to(&mut out, |lines| missing(queue, lines));
        out
    }

    #[test]
    fn everything_is_written_in_order_before_the_end() {
        let queue = Queue::new();
        (0..1000).for_each(|it| queue.push(format!("line {it}\n").as_bytes(), Haste::Now));
        let expected: String = (0..1000).map(|it| format!("line {it}\n")).collect();
        assert_eq!(written(&queue), expected.as_bytes());
        assert!(queue.finish(Duration::ZERO));
        queue.push(b"too late\n", Haste::Now);
        assert_eq!(queue.dropped().get(), 1);
    }

    #[test]
    fn what_finds_the_queue_full_is_dropped_counted_and_reported_once() {
        let queue = Queue::new();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        (0..WAITING_BYTES_MAX / 1024 + 7).for_each(|_| queue.push(&line, Haste::Now));
        assert_eq!(queue.dropped().get(), 7);
        let out = written(&queue);
        assert_eq!(out.len(), WAITING_BYTES_MAX + b"7 missing\n".len());
        assert!(out.ends_with(b"x\n7 missing\n"));
    }

    #[test]
    fn a_stuck_writer_holds_nobody_up_longer_than_asked() {
        let (queue, (mut out, seen, answer)) = (Queue::new(), told());
        thread::scope(|scope| {
            scope.spawn(|| queue.write_to(&mut out, |_| {}));
            queue.push(b"stuck\n", Haste::Now);
            assert_eq!(seen.recv().as_deref(), Ok("stuck\n"));
            (0..100_000).for_each(|_| {
                queue.push(b"a line that nobody reads because the one before is stuck\n", Haste::Now);
            });
            assert!(queue.dropped().get() > 0);
            assert!(!queue.finish(Duration::from_millis(1)));
            drop((answer, seen));
        });
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_later_ones_are_tried() {
        let (queue, (mut out, seen, answer)) = (Queue::new(), told());
        thread::scope(|scope| {
            scope.spawn(|| queue.write_to(&mut out, |lines| missing(&queue, lines)));
            for outcome in [Err(io::ErrorKind::BrokenPipe.into()), Ok(()), Ok(())] {
                answer.send(outcome).expect("the writer runs");
            }
            queue.push(b"lost\n", Haste::Now);
            assert_eq!(seen.recv().as_deref(), Ok("lost\n"));
            queue.push(b"found\n", Haste::Now);
            assert_eq!(seen.recv().as_deref(), Ok("found\n"));
            assert_eq!(seen.recv().as_deref(), Ok("1 missing\n"));
            assert!(queue.finish(SOON));
        });
    }

    #[test]
    fn lines_that_have_time_are_written_together_and_before_one_that_has_none() {
        let (queue, (mut out, seen, answer)) = (Queue::new(), told());
        drop(answer);
        thread::scope(|scope| {
            scope.spawn(|| queue.write_to(&mut out, |_| {}));
            (0..1000).for_each(|_| queue.push(b"soon\n", Haste::Soon));
            queue.push(b"now\n", Haste::Now);
            let (mut written, mut writes) = (String::new(), 0);
            while !written.ends_with("now\n") {
                written += &seen.recv_timeout(SOON).expect("it is written");
                writes += 1;
            }
            assert_eq!(written, "soon\n".repeat(1000) + "now\n");
            assert!(writes < 100, "{writes} for 1001 lines");
            queue.close();
        });
    }

    #[test]
    fn a_line_that_has_time_is_written_although_none_follows() {
        let (queue, (mut out, seen, answer)) = (Queue::new(), told());
        drop(answer);
        thread::scope(|scope| {
            scope.spawn(|| queue.write_to(&mut out, |_| {}));
            queue.push(b"soon\n", Haste::Soon);
            assert_eq!(seen.recv_timeout(SOON).as_deref(), Ok("soon\n"));
            queue.close();
        });
    }

    #[test]
    fn pieces_end_with_lines() {
        let short = b"0123456789\n".repeat(1000);
        assert_eq!(piece_len(&short), PIECE_BYTES / 11 * 11);
        assert_eq!(piece_len(&short[..33]), 33);
        let long = [b"x".repeat(5000), b"\nnext\n".to_vec()].concat();
        assert_eq!(piece_len(&long), 5001);
    }

    #[test]
    fn a_file_that_does_not_block_is_waited_for() {
        let (near, mut far) = UnixStream::pair().expect("sockets");
        near.set_nonblocking(true).expect("a socket");
        let sent = b"0123456789abcdef".repeat(1 << 16);
        let mut received = Vec::new();
        thread::scope(|scope| {
            let sent = &sent;
            scope.spawn(move || Patient(near).write_all(sent).expect("the other side reads"));
            io::Read::read_to_end(&mut far, &mut received).expect("a socket");
        });
        assert_eq!(received, sent);
    }
}
