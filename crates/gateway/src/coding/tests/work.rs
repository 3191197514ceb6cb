//! Where work is done.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ThreadId};

use super::background::{Desk, Work};
use super::*;

/// Work that says where it is done, and waits there to be let go.
struct Seen {
    told: SyncSender<ThreadId>,
    go: Option<Receiver<()>>,
}

impl Work for Seen {
    fn run(&mut self) {
        self.told.send(thread::current().id()).unwrap();
        if let Some(go) = &self.go {
            go.recv().unwrap();
        }
    }
}

async fn done<W: Work>(desk: &mut Desk<W>) {
    poll_fn(|context| desk.poll(context).map(drop)).await;
}

/// Whether it is ready without anything else being done.
async fn is_ready<W: Work>(desk: &mut Desk<W>) -> bool {
    poll_fn(|context| Poll::Ready(desk.poll(context).is_ready())).await
}

#[tokio::test]
async fn short_work_is_done_here_and_long_work_elsewhere() {
    let (told, seen) = sync_channel(4);
    let mut desk = Desk::new(Seen { told, go: None }, &background());
    for is_short in [true, false, true] {
        desk.begin(is_short);
        done(&mut desk).await;
        assert_eq!(seen.recv().unwrap() == thread::current().id(), is_short);
    }
}

#[tokio::test]
async fn so_many_pieces_run_at_a_time_and_others_wait() {
    let background = background();
    let (told, seen) = sync_channel(4);
    let mut desks: Vec<_> = (0..3)
        .map(|_| {
            let (release, go) = sync_channel(1);
            (Desk::new(Seen { told: told.clone(), go: Some(go) }, &background), release)
        })
        .collect();
    for (desk, _) in &mut desks {
        desk.begin(false);
        assert!(!is_ready(desk).await);
    }
    let running = [seen.recv().unwrap(), seen.recv().unwrap()];
    assert_ne!(running[0], running[1]);
    assert!(!is_ready(&mut desks[2].0).await);
    assert!(seen.try_recv().is_err(), "the third waits");
    for (desk, release) in &mut desks {
        release.send(()).unwrap();
        done(desk).await;
    }
    seen.recv().unwrap();
}

#[tokio::test]
async fn a_waiting_body_that_is_dropped_leaves_its_place_to_others() {
    let background = Background::new(NonZeroUsize::MIN);
    let (told, _seen) = sync_channel(4);
    let (release, go) = sync_channel(1);
    let mut first = Desk::new(Seen { told: told.clone(), go: Some(go) }, &background);
    let [mut second, mut third] =
        [(); 2].map(|()| Desk::new(Seen { told: told.clone(), go: None }, &background));
    for desk in [&mut first, &mut second, &mut third] {
        desk.begin(false);
        assert!(!is_ready(desk).await);
    }
    drop(second);
    release.send(()).unwrap();
    done(&mut first).await;
    done(&mut third).await;
}

/// A body is polled while nothing can be done in the background.
async fn comes_at_once<B: Body<Data = Bytes> + Unpin>(make: impl FnOnce(&Background) -> B) -> bool {
    let background = Background::new(NonZeroUsize::MIN);
    let (told, _seen) = sync_channel(1);
    let (release, go) = sync_channel(1);
    let mut busy = Desk::new(Seen { told, go: Some(go) }, &background);
    busy.begin(false);
    assert!(!is_ready(&mut busy).await);
    let mut body = make(&background);
    let comes = poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context).is_ready())).await;
    release.send(()).unwrap();
    done(&mut busy).await;
    all(&mut body).await;
    comes
}

#[tokio::test]
async fn short_pieces_are_coded_here_and_long_ones_elsewhere() {
    for (coding, level) in levels() {
        let how = How { coding, level, length: None };
        let most = how.short_bytes_max();
        for (bytes, is_short) in [(most, true), (most + 1, false)] {
            let body = Script::cut(&vec![b'x'; bytes], 1 << 20);
            let comes = comes_at_once(|background| Compressed::coded(body, how, background)).await;
            assert_eq!(comes, is_short || bytes == 0, "{coding:?} {level} {bytes}");
        }
    }
}

/// An encoder may have kept all that went in, and do its work with the next piece.
#[tokio::test]
async fn what_went_in_before_counts_until_it_came_out() {
    let background = Background::new(NonZeroUsize::MIN);
    let how = How { coding: Coding::Zstd, level: 3, length: None };
    let steps = [vec![b'x'; PIECE_BYTES_MAX], vec![b'x'; 10]].map(|bytes| Step::Data(bytes.into()));
    let mut body = Compressed::coded(Script::new(steps), how, &background);
    let mut is_ready_now =
        async || poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context).is_ready())).await;
    assert!(!is_ready_now().await, "the first piece is long");
    let (told, seen) = sync_channel(1);
    let (release, go) = sync_channel(1);
    let mut busy = Desk::new(Seen { told, go: Some(go) }, &background);
    busy.begin(false);
    while seen.try_recv().is_err() {
        assert!(!is_ready(&mut busy).await);
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        assert!(!is_ready_now().await, "the second waits for its place");
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    done(&mut busy).await;
    assert_eq!(undo(Coding::Zstd, &all(&mut body).await.bytes).len(), PIECE_BYTES_MAX + 10);
}

#[tokio::test]
async fn short_pieces_are_decoded_here_and_long_ones_elsewhere() {
    let noise = noise(6000);
    for coding in Coding::ALL {
        for (text, is_short) in [(&noise[..1000], true), (&noise[..], false)] {
            let body = Script::cut(&code(coding, text), 1 << 20);
            let comes = comes_at_once(|background| {
                let mut headers = headers(&[("content-encoding", coding.as_str())]);
                decode(&mut headers, body, &Decompression::default(), background).unwrap()
            });
            assert_eq!(comes.await, is_short, "{coding:?} {}", text.len());
        }
    }
}

#[tokio::test]
async fn short_pieces_that_are_ready_are_decoded_here_until_they_are_long() {
    let background = Background::new(NonZeroUsize::MIN);
    let (told, _seen) = sync_channel(1);
    let (release, go) = sync_channel(1);
    let mut busy = Desk::new(Seen { told, go: Some(go) }, &background);
    busy.begin(false);
    assert!(!is_ready(&mut busy).await);
    let parts = [7000, 3 << 20].map(|bytes| Step::Data(code(Coding::Gzip, &vec![0; bytes]).into()));
    let mut fields = headers(&[("content-encoding", "gzip")]);
    let limits = Decompression { ratio_max: 2000.try_into().unwrap(), ..Decompression::default() };
    let mut body = decode(&mut fields, Script::new(parts), &limits, &background).unwrap();
    let mut here = 0;
    while let Poll::Ready(frame) =
        poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await
    {
        here += frame.unwrap().unwrap().data_ref().unwrap().len();
    }
    assert!((7000..=16 << 10).contains(&here), "{here}");
    release.send(()).unwrap();
    done(&mut busy).await;
    assert_eq!(here + all(&mut body).await.bytes.len(), 7000 + (3 << 20));
}
