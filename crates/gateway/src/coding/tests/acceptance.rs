//! What is made of `Accept-Encoding`.

use super::*;

fn chosen(accepted: &[&str], config: &Compression) -> &'static str {
    let lines: Vec<_> = accepted.iter().map(|value| ("accept-encoding", *value)).collect();
    Negotiated::of(&Method::GET, &headers(&lines), config).coding.map_or("-", Coding::as_str)
}

#[test]
fn the_coding_is_the_one_that_the_client_likes_best() {
    let config = Compression::default();
    for (accepted, expected) in [
        (&[][..], "-"),
        (&[""], "-"),
        (&["gzip"], "gzip"),
        (&["GZip"], "gzip"),
        (&["x-gzip"], "gzip"),
        (&["gzip, br"], "br"),
        (&["gzip, deflate, br, zstd"], "zstd"),
        (&["gzip", "br"], "br"),
        (&["gzip;q=1.0, br;q=0.9"], "gzip"),
        (&["gzip; q=0.5 , br ;q=0.501"], "br"),
        (&["gzip;Q=0.5, br;q=0.50"], "br"),
        (&["gzip;q=0"], "-"),
        (&["gzip;q=0.000, br;q=0.001"], "br"),
        (&["*"], "zstd"),
        (&["*;q=0.1, gzip"], "gzip"),
        (&["zstd;q=0, *"], "br"),
        (&["*;q=0"], "-"),
        (&["gzip, *;q=0"], "gzip"),
        (&["identity"], "-"),
        (&["identity, gzip;q=0.5"], "-"),
        (&["identity;q=0.5, gzip"], "gzip"),
        (&["identity, gzip"], "gzip"),
        (&["identity;q=0"], "-"),
        (&["deflate, compress"], "-"),
        (&["gzip;q=2, br;q=0.5"], "br"),
        (&["gzip;q=0.1234"], "-"),
        (&["gzip;q="], "-"),
        (&["gzip;q=1.5"], "-"),
        (&["gzip;q=-1, br;q=+1, zstd;q=1e0"], "-"),
        (&["gzip;level=9"], "-"),
        (&["gzip;q=1;x=y"], "-"),
        (&["br;q=0, br"], "-"),
        (&[",, gzip ,"], "gzip"),
        (&["gzipped"], "-"),
    ] {
        assert_eq!(chosen(accepted, &config), expected, "{accepted:?}");
    }
}

#[test]
fn of_equals_the_first_in_the_configuration_is_taken_and_no_other() {
    let config = Compression { codings: vec![Coding::Gzip, Coding::Br], ..Compression::default() };
    assert_eq!(chosen(&["br, gzip, zstd"], &config), "gzip");
    assert_eq!(chosen(&["br, gzip;q=0.9"], &config), "br");
    assert_eq!(chosen(&["zstd"], &config), "-");
    assert_eq!(chosen(&["*"], &config), "gzip");
}
