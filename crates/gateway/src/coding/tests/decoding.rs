//! What clients' codings come to.

use super::*;

const TEXT: &[u8] = b"What is sent, is sent, is sent and sent again.";

fn decoded<B: Body<Data = Bytes> + Unpin>(coding: Coding, body: B, limits: &Decompression) -> Decoded<B> {
    let mut fields = headers(&[("content-encoding", coding.as_str())]);
    decode(&mut fields, body, limits, &background()).unwrap()
}

async fn outcome(coding: Coding, bytes: &[u8], cut: usize) -> (Vec<u8>, Option<Refusal>) {
    let mut body = decoded(coding, Script::cut(bytes, cut), &Decompression::default());
    let outcome = all(&mut body).await;
    let refusal = outcome.error.map(|error| match error {
        Error::Refused(refusal) => refusal,
        Error::Body(broke) => panic!("{broke}"),
    });
    (outcome.bytes, refusal)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Made by Python's gzip, by Node's zlib, and by the program zstd, with its checksum.
#[tokio::test]
async fn what_others_coded_is_decoded() {
    for (coding, hex) in [
        (
            Coding::Gzip,
            "1f8b08000000000002030bcf482c51c82c56284ecd2bd1c1602824e6a54019e98999797a002a3d99432e000000",
        ),
        (Coding::Br, "1b2d00f8c55396aa7513bb8daafc30913309c85a72207c32f0063a4dfdd73d012f3601"),
        (
            Coding::Zstd,
            "28b52ffd0458f50000b0576861742069732073656e742c20616e646761696e2e0200202338972f47a2f4ef",
        ),
    ] {
        for cut in [1, 7, 1000] {
            assert_eq!(outcome(coding, &bytes(hex), cut).await, (TEXT.to_vec(), None), "{coding:?} {cut}");
        }
        let mut broken = bytes(hex);
        let last = broken.len() - 5;
        broken[last] ^= 0x40;
        if coding != Coding::Br {
            assert_eq!(outcome(coding, &broken, 1000).await.1, Some(Refusal::Corrupt { coding }), "its sum");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_decoded_is_what_was_coded(
        text in texts(),
        coding in prop::sample::select(Coding::ALL.to_vec()),
        cut in 1..70_000_usize,
    ) {
        let limits = Decompression { ratio_max: 100_000.try_into().unwrap(), ..Decompression::default() };
        let mut body = decoded(coding, Script::cut(&code(coding, &text), cut), &limits);
        let outcome = block_on(all(&mut body));
        prop_assert!(outcome.error.is_none(), "{:?}", outcome.error);
        prop_assert!(outcome.largest <= PIECE_BYTES_MAX);
        prop_assert_eq!(outcome.bytes, text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_decoded_does_not_hang_on_where_it_is_cut(
        chosen in 0..3_u8,
        size in any::<u8>(),
        text in texts(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = code(Coding::ALL[usize::from(chosen)], &text[..text.len().min(5000)]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        crate::fuzz::coding(&[&[chosen, size][..], &bytes].concat());
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused_wherever_it_does() {
    let text = noise(600);
    for coding in Coding::ALL {
        for text in [&text[..], TEXT, b""] {
            let whole = code(coding, text);
            assert_eq!(outcome(coding, &whole, 1000).await, (text.to_vec(), None));
            for end in 1..whole.len() {
                let (came, refusal) = outcome(coding, &whole[..end], 1000).await;
                assert_eq!(refusal, Some(Refusal::Truncated { coding }), "{coding:?} at {end}");
                assert!(text.starts_with(&came));
            }
        }
    }
}

#[tokio::test]
async fn what_follows_the_end_is_refused() {
    for coding in Coding::ALL {
        for trailing in [&b"x"[..], b"\0\0\0\0\0\0\0\0", b"and so on, for longer than a head"] {
            let whole = [&code(coding, TEXT), trailing].concat();
            for cut in [1, 1000] {
                let refusal = outcome(coding, &whole, cut).await.1.unwrap();
                // One byte may begin a head that never comes.
                let is_begun = trailing.len() == 1 && refusal == Refusal::Truncated { coding };
                assert!(
                    refusal == Refusal::Trailing { coding } || is_begun,
                    "{coding:?} {trailing:?}: {refusal:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn members_follow_each_other_where_the_format_has_them() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let twice = [code(coding, TEXT), code(coding, b""), code(coding, TEXT)].concat();
        for cut in [1, 13, 1000] {
            assert_eq!(outcome(coding, &twice, cut).await, (TEXT.repeat(2), None), "{coding:?}");
        }
        let many = code(coding, b"a").repeat(3000);
        assert_eq!(outcome(coding, &many, 70_000).await, (vec![b'a'; 3000], None), "{coding:?}");
    }
    let skipped = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3], &*code(Coding::Zstd, TEXT)].concat();
    assert_eq!(outcome(Coding::Zstd, &skipped, 2).await, (TEXT.to_vec(), None));
}

#[tokio::test]
async fn what_is_no_coding_is_corrupt() {
    for coding in Coding::ALL {
        let (came, refusal) = outcome(coding, &[0xFF; 100], 1000).await;
        assert_eq!((came, refusal), (Vec::new(), Some(Refusal::Corrupt { coding })));
    }
}

#[tokio::test]
async fn large_windows_are_refused() {
    // A frame with a window of 2^24 and one raw block; then one of 2^23, which is taken.
    let frame = |log: u8| [&[0x28, 0xB5, 0x2F, 0xFD, 0x00, (log - 10) << 3, 0x09, 0, 0], &b"x"[..]].concat();
    assert_eq!(outcome(Coding::Zstd, &frame(24), 100).await, (Vec::new(), Some(Refusal::Window)));
    assert_eq!(outcome(Coding::Zstd, &frame(23), 100).await, (b"x".to_vec(), None));
    // Brotli's large windows begin with 0x11, and are no part of its RFC.
    let large = outcome(Coding::Br, &[0x11, 0x1E, 0x03], 100).await.1;
    assert_eq!(large, Some(Refusal::Corrupt { coding: Coding::Br }));
}

#[tokio::test]
async fn a_body_without_a_byte_has_no_coding() {
    for coding in Coding::ALL {
        let script = Script::new([Step::Data(Bytes::new()), Step::Pause]);
        let outcome = all(&mut decoded(coding, script, &Decompression::default())).await;
        assert!(outcome.bytes.is_empty() && outcome.error.is_none());
    }
}

#[tokio::test]
async fn trailers_pass_and_errors_do() {
    let trailers = headers(&[("x-sum", "7"), ("content-md5", "x")]);
    let whole = Step::Data(code(Coding::Br, TEXT).into());
    let steps = [whole.clone(), Step::Trailers(trailers.clone())];
    let done = all(&mut decoded(Coding::Br, Script::new(steps), &Decompression::default())).await;
    assert_eq!((done.bytes, done.trailers), (TEXT.to_vec(), Some(headers(&[("x-sum", "7")]))));
    let steps = [Step::Data("\x1b".into()), Step::Trailers(trailers)];
    let early = all(&mut decoded(Coding::Br, Script::new(steps), &Decompression::default())).await;
    assert!(
        matches!(early.error, Some(Error::Refused(Refusal::Truncated { .. }))) && early.trailers.is_none()
    );
    let steps = [whole, Step::Error];
    let broken = all(&mut decoded(Coding::Br, Script::new(steps), &Decompression::default())).await;
    assert_eq!(broken.bytes, TEXT);
    assert!(matches!(broken.error, Some(Error::Body(Broke))));
}

#[test]
fn headers_say_what_is_sent_on() {
    let said = [
        ("content-encoding", "gzip"),
        ("content-length", "70"),
        ("content-md5", "x"),
        ("digest", "x"),
        ("content-digest", "x"),
        ("repr-digest", "x"),
        ("content-type", "text/plain"),
    ];
    let of = |lines: &[(&str, &str)], body: Script| {
        let mut fields = headers(lines);
        let body = decode(&mut fields, body, &Decompression::default(), &background());
        (fields, body.map(|body| body.size_hint().exact()))
    };
    let body = || Script { length: Some(4), ..Script::cut(b"text", 4) };
    assert_eq!(of(&said, body()), (headers(&[("content-type", "text/plain")]), Ok(None)));
    // Without a body, or without a coding, all stays.
    for (lines, body) in
        [(&said[..], Script::default()), (&said[1..], body()), (&[("content-encoding", "identity")], body())]
    {
        let length = body.length;
        assert_eq!(of(lines, body), (headers(lines), Ok(length)));
    }
    for named in ["deflate", "gzip, br", "br, identity, br", "compress", "\u{e9}"] {
        let refusal = of(&[("content-encoding", named)], body()).1.unwrap_err();
        assert_eq!(refusal.code().status(), 415, "{named}");
        assert_eq!(refusal.accept_encoding(), Some("zstd, br, gzip"));
    }
    let several = of(&[("content-encoding", "gzip"), ("content-encoding", "gzip")], body()).1;
    assert_eq!(
        several.unwrap_err().to_string(),
        "the body has the content coding \"gzip, gzip\", which is not taken here: send it with one of zstd, br, gzip, or with none"
    );
    let x_gzip = of(&[("content-encoding", "X-GZIP, identity")], body());
    assert_eq!(x_gzip, (HeaderMap::new(), Ok(None)));
}
