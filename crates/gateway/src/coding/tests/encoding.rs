//! What comes out of encoders.

use std::time::Duration;

use tokio::sync::mpsc;

use super::background::Work as _;
use super::encode::{Encoding, Then};
use super::*;

/// A body that comes as it is sent.
struct Sent(mpsc::Receiver<Bytes>);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<Infallible> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_coded_is_what_was_sent(
        text in texts(),
        (coding, level) in prop::sample::select(levels()),
        cuts in prop::collection::vec((1..40_000_usize, any::<bool>()), 1..8),
        knows_length in any::<bool>(),
    ) {
        let (mut steps, mut left) = (Vec::new(), &text[..]);
        for (size, pauses) in cuts.iter().cycle() {
            let (part, rest) = left.split_at(left.len().min(*size));
            steps.push(Step::Data(Bytes::copy_from_slice(part)));
            if *pauses {
                steps.push(Step::Pause);
            }
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        let length = knows_length.then_some(text.len() as u64);
        let outcome = block_on(all(&mut coded(Script { length, ..Script::new(steps) }, coding, level)));
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(undo(coding, &outcome.bytes), text);
    }
}

/// With time that stands still while anything can be done, waiting for long means that nothing comes.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_back() {
    for (coding, level) in levels() {
        let (sender, receiver) = mpsc::channel(4);
        let how = How { coding, level, length: None };
        let mut body = Compressed::coded(Sent(receiver), how, &background());
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        for size in [1, 20, 3000, 100, 70_000, 1, 200_000] {
            let part: Vec<u8> = (0..size).map(|at| b"an order, "[at % 10]).collect();
            text.extend_from_slice(&part);
            sender.send(part.into()).await.unwrap();
            while let Ok(frame) = tokio::time::timeout(Duration::from_secs(3600), next(&mut body)).await {
                bytes.extend_from_slice(frame.unwrap().unwrap().data_ref().unwrap());
            }
            assert_eq!(undo_part(coding, &bytes).len(), text.len(), "{coding:?} {level} after {size}");
        }
        drop(sender);
        bytes.extend(all(&mut body).await.bytes);
        assert_eq!(undo(coding, &bytes), text);
    }
}

/// A flush ends a block, which is read at once and is longer.
#[tokio::test]
async fn what_is_ready_at_once_is_not_flushed_piece_by_piece() {
    let text = b"an order, and another; ".repeat(20_000);
    for coding in Coding::ALL {
        let mut encoding = Encoding::new(How { coding, level: 3, length: None });
        encoding.input = text.chunks(PIECE_BYTES_MAX).map(Bytes::copy_from_slice).collect();
        encoding.then = Then::End;
        encoding.run();
        let whole = encoding.take().unwrap();
        let ready = all(&mut coded(Script::cut(&text, 1000), coding, 3)).await.bytes;
        assert_eq!(ready.len(), whole.len(), "{coding:?}");
    }
}

#[tokio::test]
async fn what_came_before_an_error_comes_out_before_it() {
    for coding in Coding::ALL {
        for text in [&b""[..], b"half of it", &[b'x'; 100_000]] {
            let steps = [Step::Data(Bytes::copy_from_slice(text)), Step::Error, Step::Data("never".into())];
            let outcome = all(&mut coded(Script::new(steps), coding, 3)).await;
            assert_eq!(outcome.error, Some(Broke));
            assert_eq!(undo_part(coding, &outcome.bytes), text);
        }
    }
}

#[tokio::test]
async fn trailers_pass_without_the_digests() {
    let trailers =
        headers(&[("x-sum", "7"), ("content-digest", "sha-256=:x:"), ("repr-digest", "sha-256=:x:")]);
    let steps = [Step::Data("text".into()), Step::Pause, Step::Trailers(trailers)];
    for coding in Coding::ALL {
        let outcome = all(&mut coded(Script::new(steps.clone()), coding, 3)).await;
        assert_eq!(outcome.trailers, Some(headers(&[("x-sum", "7")])));
        assert_eq!(undo(coding, &outcome.bytes), b"text");
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_text() {
    for (coding, level) in levels() {
        let outcome = all(&mut coded(Script::default(), coding, level)).await;
        assert_eq!(undo(coding, &outcome.bytes), b"");
    }
}
