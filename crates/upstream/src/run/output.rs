//! What programs write, as lines of the log.

use std::future::Future;
use std::time::Duration;

use mainstay_base::id::Name;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::Instant;

use super::fleet::Number;

/// The longest line that is told; what is beyond comes as another one.
const LINE_BYTES_MAX: u64 = 8 << 10;

/// How many lines of an instance are told in a second, of each stream. The rest is counted.
const LINES_MAX: u32 = 1_000;

/// Tells what an instance writes, until it writes no more.
pub(super) fn tell(
    service: &Name,
    number: Number,
    (out, err): (Option<ChildStdout>, Option<ChildStderr>),
) -> impl Future<Output = ()> + Send + use<> {
    let (service, instance) = (service.clone(), number.0);
    async move {
        let out =
            lines(out, |line| tracing::info!(target: "mainstay::service", %service, instance, "{line}"));
        let err =
            lines(err, |line| tracing::info!(target: "mainstay::service", %service, instance, "{line}"));
        tokio::join!(out, err);
    }
}

async fn lines(from: Option<impl AsyncRead + Unpin>, tell: impl Fn(&str)) {
    let Some(from) = from else { return };
    let (mut from, mut line) = (BufReader::new(from), Vec::new());
    let (mut second, mut told, mut left_out) = (Instant::now(), 0_u32, 0_u64);
    loop {
        line.clear();
        let read = (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        let is_over = !matches!(read, Ok(1..));
        if second.elapsed() >= Duration::from_secs(1) || is_over {
            if left_out > 0 {
                tell(&format!("({left_out} lines more were left out)"));
            }
            (second, told, left_out) = (Instant::now(), 0, 0);
        }
        if is_over {
            return;
        }
        if told >= LINES_MAX {
            left_out += 1;
            continue;
        }
        told += 1;
        tell(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
    }
}
