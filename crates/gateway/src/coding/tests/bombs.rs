//! Bodies that are small until they are decoded.

use std::io::Write;

use super::*;

const MIB: u64 = 1 << 20;

/// Many MiB of zeros, coded, without an end.
fn bomb(coding: Coding, mibs: usize) -> Script {
    let zeros = vec![0; 1 << 20];
    let part = |write: &mut dyn Write| {
        write.write_all(&zeros).unwrap();
        write.flush().unwrap();
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    let mut br = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 18);
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    // The first begins the body; from the second on they are the same.
    let mut next = || -> Bytes {
        match coding {
            Coding::Gzip => part(&mut gzip),
            Coding::Br => part(&mut br),
            Coding::Zstd => part(&mut zstd),
        }
        let made = match coding {
            Coding::Gzip => gzip.get_mut(),
            Coding::Br => br.get_mut(),
            Coding::Zstd => zstd.get_mut(),
        };
        std::mem::take(made).into()
    };
    let (first, second) = (next(), next());
    assert_eq!(second, next(), "{coding:?}");
    let all: Vec<u8> =
        std::iter::once(first).chain(std::iter::repeat_n(second, mibs - 1)).flatten().collect();
    Script::new([Step::Data(all.into())])
}

async fn exploded(coding: Coding, mibs: usize, limits: Decompression) -> Outcome<Error<Broke>> {
    let mut fields = headers(&[("content-encoding", coding.as_str())]);
    let mut body = decode(&mut fields, bomb(coding, mibs), &limits, &background()).unwrap();
    all(&mut body).await
}

#[tokio::test]
async fn a_gib_of_zeros_is_refused_by_its_ratio_as_soon_as_that_is_known() {
    for coding in Coding::ALL {
        let outcome = exploded(coding, 1024, Decompression::default()).await;
        assert!(matches!(outcome.error, Some(Error::Refused(Refusal::Ratio { max: 100 }))), "{coding:?}");
        assert!(outcome.bytes.len() <= 2 * PIECE_BYTES_MAX, "{coding:?}: {}", outcome.bytes.len());
    }
}

#[tokio::test]
async fn a_gib_of_zeros_is_refused_by_its_length_where_any_ratio_may_be() {
    let limits = Decompression { ratio_max: 100_000.try_into().unwrap(), max: Size::from_bytes(3 * MIB + 5) };
    for coding in Coding::ALL {
        let outcome = exploded(coding, 1024, limits).await;
        let refused = matches!(outcome.error, Some(Error::Refused(Refusal::Expanded { .. })));
        assert!(refused, "{coding:?} {:?}", outcome.error);
        assert!(outcome.largest <= PIECE_BYTES_MAX);
        let most = 3 * MIB + 5;
        assert!((most - PIECE_BYTES_MAX as u64..=most).contains(&(outcome.bytes.len() as u64)), "{coding:?}");
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_most_is_taken() {
    let text = vec![b'x'; 5000];
    for (max, is_taken) in [(5000, true), (4999, false)] {
        let limits = Decompression { max: Size::from_bytes(max), ..Decompression::default() };
        for coding in Coding::ALL {
            for cut in [1, 1000] {
                let mut fields = headers(&[("content-encoding", coding.as_str())]);
                let body = Script::cut(&code(coding, &text), cut);
                let outcome = all(&mut decode(&mut fields, body, &limits, &background()).unwrap()).await;
                assert_eq!(outcome.error.is_none(), is_taken, "{coding:?} {max}");
            }
        }
    }
}

/// What is allowed comes in pieces, however much a byte stands for.
#[tokio::test]
async fn no_piece_is_larger_than_the_bound() {
    let limits = Decompression { ratio_max: 100_000.try_into().unwrap(), max: Size::from_mib(1 << 20) };
    for coding in Coding::ALL {
        let outcome = exploded(coding, 24, limits).await;
        assert_eq!(outcome.bytes.len() as u64, 24 * MIB);
        assert_eq!(outcome.largest, PIECE_BYTES_MAX, "{coding:?}");
        assert!(matches!(outcome.error, Some(Error::Refused(Refusal::Truncated { .. }))), "{coding:?}");
    }
}

/// No more is asked for than is worked on.
#[tokio::test]
async fn a_refused_body_is_not_read_on() {
    for coding in Coding::ALL {
        let Some(Step::Data(bytes)) = bomb(coding, 64).steps.pop_front() else { unreachable!() };
        let script = Script::cut(&bytes, 64);
        let mut fields = headers(&[("content-encoding", coding.as_str())]);
        let mut body = bomb_reader(script, &mut fields);
        let outcome = all(&mut body).await;
        assert!(matches!(outcome.error, Some(Error::Refused(Refusal::Ratio { .. }))), "{coding:?}");
        let given = GIVEN.with(std::cell::Cell::get);
        assert!(given <= 2048, "{coding:?}: {given}");
    }
}

thread_local! {
    /// How many bytes the last body was asked for.
    static GIVEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Tells what it is asked for.
struct Counted(Script);

impl Body for Counted {
    type Data = Bytes;
    type Error = Broke;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<Broke> {
        let polled = Pin::new(&mut self.0).poll_frame(context);
        GIVEN.with(|given| given.set(self.0.given));
        polled
    }
}

fn bomb_reader(script: Script, fields: &mut HeaderMap) -> Decoded<Counted> {
    decode(fields, Counted(script), &Decompression::default(), &background()).unwrap()
}
