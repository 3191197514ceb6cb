//! Lines of the access log as JSON, of which there may be one for each request: the same as other lines are, written straight into one buffer.

use std::cell::Cell;
use std::fmt::{self, Debug, Write as _};

use mainstay_base::time::{Clock, Timestamp};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::ACCESS;

/// About as long as a line is.
const LINE_BYTES: usize = 512;
/// A date and a time to its second.
const SECOND_BYTES: usize = "2026-01-01T00:00:00".len();
const MICROS_PER_SECOND: u64 = 1_000_000;

/// Writes lines of the access log itself, and leaves others to another.
pub(super) struct WithAccess<F, C> {
    pub(super) others: F,
    pub(super) clock: C,
}

impl<S, N, F, C> FormatEvent<S, N> for WithAccess<F, C>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
    C: Clock,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        if about.target() != ACCESS {
            return self.others.format_event(context, writer, event);
        }
        let mut line = Line(Vec::with_capacity(LINE_BYTES));
        line.0.extend_from_slice(b"{\"timestamp\":\"");
        line.time(self.clock.wall());
        line.0.extend_from_slice(b"\",\"level\":");
        line.text(about.level().as_str());
        event.record(&mut line);
        line.member("target", |line| line.text(about.target()));
        line.0.extend_from_slice(b"}\n");
        writer.write_str(str::from_utf8(&line.0).map_err(|_| fmt::Error)?)
    }
}

/// A line that is written.
struct Line(Vec<u8>);

impl Line {
    fn member(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.0.extend_from_slice(b",\"");
        // Names of fields are identifiers.
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        value(self);
    }

    fn text(&mut self, text: &str) {
        // Looked at without an early end, many bytes are looked at in a step.
        let is_plain = text
            .bytes()
            .fold(true, |is_plain, byte| is_plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
        if !is_plain {
            return self.json(text);
        }
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.0, value).expect("a Vec takes what is plain data");
    }

    fn time(&mut self, time: Timestamp) {
        thread_local! {
            static LAST: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((u64::MAX, [0; SECOND_BYTES])) };
        }
        let (second, micros) = (time.as_micros() / MICROS_PER_SECOND, time.as_micros() % MICROS_PER_SECOND);
        let (mut last, mut text) = LAST.get();
        if last != second {
            let written = Timestamp::from_micros(second * MICROS_PER_SECOND).to_string();
            text.copy_from_slice(&written.as_bytes()[..SECOND_BYTES]);
            last = second;
            LAST.set((last, text));
        }
        self.0.extend_from_slice(&text);
        let mut digits = *b".000000Z";
        let mut rest = micros;
        for digit in digits[1..7].iter_mut().rev() {
            *digit += u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        self.0.extend_from_slice(&digits);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field.name(), |line| line.text(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), |line| line.json(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), |line| line.json(&value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field.name(), |line| line.json(&value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), |line| line.json(&value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("a String takes it");
        self.member(field.name(), |line| line.text(&text));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use mainstay_base::time::ManualClock;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What lines are written to.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// One and the same event: by tracing's own writer and by ours.
    fn both(log: impl Fn()) -> [String; 2] {
        let lines = |is_ours: bool| {
            let written = Written::default();
            let to = written.clone();
            let layer = tracing_subscriber::fmt::layer().with_writer(move || to.clone());
            let layer = layer.json().flatten_event(true).with_current_span(true).with_span_list(false);
            let registry = tracing_subscriber::Registry::default();
            if is_ours {
                let clock = ManualClock::default();
                let ours = layer.map_event_format(|others| WithAccess { others, clock });
                tracing::subscriber::with_default(registry.with(ours), &log);
            } else {
                tracing::subscriber::with_default(registry.with(layer), &log);
            }
            let bytes = written.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap()
        };
        [lines(false), lines(true)]
    }

    #[test]
    fn a_line_is_as_tracing_writes_it() {
        let both = both(|| {
            tracing::info!(
                target: "mainstay::access", id = %"a-b", client = %std::net::Ipv4Addr::LOCALHOST, path = "/\u{1}\"\\\u{fc}", empty = "",
                status = 200_u16, bytes = u64::MAX, minus = -1_i64, ms = 0.25, whole = 3.0, is_whole = true, "request"
            );
        });
        let parsed = both.map(|line| {
            assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
            let mut value: Value = serde_json::from_str(&line).expect(&line);
            let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            let time = value.as_object_mut().unwrap().remove("timestamp");
            (value, names, time)
        });
        assert_eq!((&parsed[0].0, &parsed[0].1), (&parsed[1].0, &parsed[1].1));
        assert_eq!(parsed[0].0["path"], "/\u{1}\"\\\u{fc}");
        assert_eq!(parsed[1].2, Some("2026-01-01T00:00:00.000000Z".into()));
    }

    #[test]
    fn other_lines_are_left_alone() {
        let [theirs, ours] = both(|| tracing::info!(target: "mainstay::gateway", number = 1, "other"));
        let parsed = [theirs, ours].map(|line| {
            let mut value: Value = serde_json::from_str(&line).expect(&line);
            value.as_object_mut().unwrap().remove("timestamp");
            value
        });
        assert_eq!(parsed[0], parsed[1]);
    }

    #[test]
    fn times_have_their_microseconds() {
        for micros in [0, 1, 999_999, 1_000_000, 1_796_000_000_123_456, 1_796_000_000_123_457] {
            let time = Timestamp::from_micros(micros);
            let mut line = Line(Vec::new());
            line.time(time);
            let text = String::from_utf8(line.0).unwrap();
            assert_eq!((text.parse::<Timestamp>().unwrap(), text.len()), (time, 27), "{text}");
        }
    }
}
