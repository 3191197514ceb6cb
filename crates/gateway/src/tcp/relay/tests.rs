//! Sides that speak, are slow, end and go, over pipes of a few bytes.

use prometheus::IntCounter;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::join;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn progress() -> Arc<Progress> {
    let counter = |name| IntCounter::new(name, "Bytes.").expect("a valid metric");
    Arc::new(Progress::new([counter("in"), counter("out")]))
}

/// The ends of a client and a service, with a relay between them.
struct World {
    client: DuplexStream,
    service: DuplexStream,
    progress: Arc<Progress>,
    closing: CancellationToken,
    relay: Pin<Box<dyn Future<Output = End>>>,
}

fn world(read: &'static [u8], room: usize) -> World {
    let [(client, mut inner), (service, mut outer)] = [duplex(room), duplex(room)];
    let (progress, closing) = (progress(), CancellationToken::new());
    let relay = Relay::new(&Scratch::new(), &progress, Bytes::from_static(read), MINUTE);
    let told = closing.clone();
    let relay = Box::pin(async move { relay.run((&mut inner, &mut outer), told).await });
    World { client, service, progress, closing, relay }
}

async fn all(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.expect("it ends in order");
    bytes
}

#[tokio::test]
async fn each_side_may_end_and_hear_the_other_to_its_end() {
    let World { mut client, mut service, relay, progress, .. } = world(b"early ", 7);
    let asks = async {
        client.write_all(b"what is it?").await.expect("it is read");
        client.shutdown().await.expect("it ends");
        all(client).await
    };
    let answers = async {
        let (mut heard, mut says) = tokio::io::split(&mut service);
        let heard = all(&mut heard).await;
        says.write_all(b"an answer that begins behind the end of the question").await.expect("it is read");
        says.shutdown().await.expect("it ends");
        heard
    };
    let (end, told, heard) = join!(relay, asks, answers);
    assert!(matches!(end, End::Over), "{end:?}");
    assert_eq!(heard, b"early what is it?");
    assert_eq!(told, b"an answer that begins behind the end of the question");
    assert_eq!(progress.count(), [heard.len() as u64, told.len() as u64]);
}

#[tokio::test]
async fn a_slow_reader_holds_back_who_speaks_and_no_more_than_one_buffer() {
    let World { mut client, mut service, mut relay, .. } = world(b"", 1024);
    let pours = async {
        let bytes = [7; 1024];
        let mut poured = 0;
        // Until nobody takes any more.
        while let Ok(Ok(written)) =
            tokio::time::timeout(std::time::Duration::from_millis(50), client.write(&bytes)).await
        {
            poured += written;
        }
        poured
    };
    let poured = tokio::select! {
        poured = pours => poured,
        end = &mut relay => panic!("{end:?}"),
    };
    assert!(poured <= SCRATCH_BYTES + 2 * 1024, "{poured}");
    let ends = async {
        let heard = all(&mut service).await.len();
        drop(service);
        heard
    };
    let finishes = async {
        client.shutdown().await.expect("it ends");
        all(client).await
    };
    let (end, heard, rest) = join!(relay, ends, finishes);
    assert!(matches!(end, End::Over) && rest.is_empty(), "{end:?}");
    assert_eq!(heard, poured);
}

#[tokio::test]
async fn it_is_told_which_side_is_gone() {
    // Who has gone takes nothing any more.
    let World { mut client, service, relay, .. } = world(b"", 64);
    drop(service);
    let (end, _) = join!(relay, client.write_all(&[0; 65]));
    assert!(matches!(end, End::Service(_)), "{end:?}");
    let World { client, mut service, relay, .. } = world(b"", 64);
    drop(client);
    let (end, _) = join!(relay, service.write_all(&[0; 65]));
    assert!(matches!(end, End::Client(_)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_moves_ends_after_its_time_and_not_before() {
    let World { mut client, mut service, relay, .. } = world(b"", 64);
    let begun = Instant::now();
    let speaks = async {
        for _ in 0..3 {
            sleep(MINUTE.as_std() - std::time::Duration::from_secs(1)).await;
            client.write_all(b".").await.expect("it is open");
            service.read_u8().await.expect("it is open");
        }
        (client, service)
    };
    let (end, _open) = join!(relay, speaks);
    assert!(matches!(end, End::Idle { is_amid: false }), "{end:?}");
    assert_eq!(begun.elapsed().as_secs(), 3 * 59 + 60);
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_a_quiet_one_ends_soon_and_one_that_never_is_in_the_end() {
    for (speaks, within) in [(false, 1..=2), (true, 5..=6)] {
        let World { client, mut service, relay, closing, .. } = world(b"", 64);
        closing.cancel();
        let begun = Instant::now();
        let goes_on = async {
            while speaks && service.write_all(b".").await.is_ok() {
                sleep(std::time::Duration::from_millis(300)).await;
            }
        };
        let (end, _, _) = join!(relay, goes_on, all(client));
        assert!(matches!(end, End::Stopped { is_amid } if is_amid == speaks), "{end:?}");
        assert_eq!(end.resets(), [speaks; 2], "who is in the middle of something is not to take it for all");
        assert!(within.contains(&begun.elapsed().as_secs()), "{speaks}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_side_does_not_take_is_lost_at_the_end_and_both_are_told() {
    for stops in [false, true] {
        let World { client: _client, mut service, relay, closing, .. } = world(b"", 64);
        // Twice what there is room for on the way, so that something is held.
        let pours = async {
            service.write_all(&[7; 100]).await.expect("it is read");
            if stops {
                closing.cancel();
            }
        };
        let (end, ()) = join!(relay, pours);
        match end {
            End::Idle { is_amid } => assert!(is_amid && !stops),
            End::Stopped { is_amid } => assert!(is_amid && stops),
            end => panic!("{end:?}"),
        }
        assert_eq!(end.resets(), [true; 2]);
    }
}

proptest! {
    #[test]
    fn whatever_is_said_arrives_as_it_was_said(
        asked in proptest::collection::vec(any::<u8>(), 0..3000),
        told in proptest::collection::vec(any::<u8>(), 0..3000),
        room in 1usize..300,
        piece in 1usize..400,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (end, heard, answered) = runtime.block_on(async {
            let World { client, service, relay, .. } = world(b"", room);
            let speaks = |stream: DuplexStream, bytes: Vec<u8>| async move {
                let (hears, mut says) = tokio::io::split(stream);
                let says = async move {
                    for piece in bytes.chunks(piece) {
                        says.write_all(piece).await.expect("it is read");
                        tokio::task::yield_now().await;
                    }
                    says.shutdown().await.expect("it ends");
                };
                join!(says, all(hears)).1
            };
            join!(relay, speaks(service, told.clone()), speaks(client, asked.clone()))
        });
        prop_assert!(matches!(end, End::Over), "{:?}", end);
        prop_assert_eq!(heard, asked);
        prop_assert_eq!(answered, told);
    }
}
