//! What holds for any bytes: the bodies of the fuzz targets, which ordinary tests run as well.
//!
//! Each function panics when it does not hold.

use mainstay_base::units::Size;

use crate::coding::{Coding, Decompression, PIECE_BYTES_MAX, Refusal, pieces};
use crate::head::{Guard, Limits, Reason, State};

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many bytes passed.
    pub(crate) passed: usize,
    /// Where the heads that passed end.
    pub(crate) heads: Vec<usize>,
    /// Why no more passed, and what was said of it.
    pub(crate) refused: Option<(Reason, String)>,
    pub(crate) state: State,
}

/// Gives the parts of a stream to a guard, whose requests are answered at once.
pub(crate) fn feed<'a>(limits: Limits, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut guard = Guard::new(limits);
    let mut outcome = Outcome { passed: 0, heads: Vec::new(), refused: None, state: State::Fresh };
    let mut waiting: Vec<u8> = Vec::new();
    'parts: for part in parts {
        waiting.extend_from_slice(part);
        // The guard has seen so many of those that wait, and the head that they begin is not complete.
        let mut seen = waiting.len() - part.len();
        loop {
            let before = guard.clone();
            let passed = match guard.scan(&waiting) {
                Ok(passed) => passed,
                Err(refusal) => {
                    assert_eq!(guard.scan(&waiting), Err(refusal), "it stays refused");
                    outcome.refused = Some((refusal.reason, refusal.to_string()));
                    break 'parts;
                }
            };
            assert!(guard.heads() <= before.heads() + 1, "a call passes one head at most");
            if guard.heads() > before.heads() {
                outcome.heads.push(outcome.passed + head_end(&before, &waiting[..passed], seen));
            }
            outcome.passed += passed;
            waiting.drain(..passed);
            seen = if passed == 0 { seen } else { 0 };
            let is_answered =
                guard.unanswered() > 0 && (!guard.may_switch() || guard.state() == State::Verdict);
            if is_answered {
                guard.answered(false);
            } else if passed == 0 {
                break;
            }
        }
    }
    outcome.state = guard.state();
    outcome
}

/// Where the head ends that is in what passed: it passes as soon as it is complete.
fn head_end(before: &Guard, passed: &[u8], seen: usize) -> usize {
    let has_passed = |end: usize| {
        let mut guard = before.clone();
        guard.scan(&passed[..end]).is_ok() && guard.heads() > before.heads()
    };
    let (mut short, mut long) = (seen.min(passed.len()), passed.len());
    while short < long {
        let middle = usize::midpoint(short, long);
        if has_passed(middle) { long = middle } else { short = middle + 1 }
    }
    long
}

/// The bytes as what a client sends: whole, byte by byte, and cut at places that its first two bytes choose, the same passes for the same reason.
pub fn head(bytes: &[u8]) {
    let limits = Limits { connect: true, ..Limits::default() };
    let whole = feed(limits, [bytes]);
    assert!(whole.passed <= bytes.len());
    assert_eq!(whole.refused.is_some(), whole.state == State::Refused);
    assert_eq!(whole, feed(limits, bytes.chunks(1)));
    let size = bytes.iter().take(2).fold(1, |size, byte| size + usize::from(*byte % 32));
    assert_eq!(whole, feed(limits, bytes.chunks(size)));
}

/// The bytes as a client's coded body, whose first chooses the coding: whole and cut at places that the next chooses it is decoded to the same text, in bounded pieces and below the limit,
/// or refused for the same reason, but for limits, which are looked at where pieces end.
pub fn coding(bytes: &[u8]) {
    let [chosen, size, bytes @ ..] = bytes else { return };
    let coding = Coding::ALL[usize::from(*chosen) % Coding::ALL.len()];
    let limits = Decompression { max: Size::from_mib(1), ..Decompression::default() };
    let (whole, largest, end) = pieces((coding, limits, PIECE_BYTES_MAX), [bytes]);
    assert!(largest <= PIECE_BYTES_MAX);
    let size = usize::from(*size) + 1;
    let (cut, largest, cut_end) = pieces((coding, limits, PIECE_BYTES_MAX / 8), bytes.chunks(size));
    assert!(largest <= PIECE_BYTES_MAX / 8);
    assert!(whole.len().max(cut.len()) as u64 <= limits.max.bytes());
    let is_limit =
        |end: &Result<(), Refusal>| matches!(end, Err(Refusal::Expanded { .. } | Refusal::Ratio { .. }));
    if is_limit(&end) || is_limit(&cut_end) {
        return;
    }
    assert_eq!(end.is_ok(), cut_end.is_ok(), "{end:?} {cut_end:?}");
    if end.is_ok() {
        assert_eq!(whole, cut);
    } else {
        assert!(whole.starts_with(&cut) || cut.starts_with(&whole));
    }
}
