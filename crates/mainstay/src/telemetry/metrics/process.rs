//! What the system says about this process, under the names that Prometheus's clients share.
//!
//! Read from `/proc` whenever someone scrapes; what cannot be read there is left out.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

const METRICS: [(&str, &str, MetricType); 7] = [
    ("process_cpu_seconds_total", "User and system CPU time spent, in seconds.", MetricType::COUNTER),
    ("process_resident_memory_bytes", "Resident memory in bytes.", MetricType::GAUGE),
    ("process_virtual_memory_bytes", "Virtual memory in bytes.", MetricType::GAUGE),
    ("process_threads", "Threads of the process.", MetricType::GAUGE),
    ("process_start_time_seconds", "Start of the process in seconds since 1970.", MetricType::GAUGE),
    ("process_open_fds", "Open file descriptors.", MetricType::GAUGE),
    ("process_max_fds", "File descriptors that may be open at once.", MetricType::GAUGE),
];

/// Collects the metrics of the running process.
pub struct Process {
    descriptions: Vec<Desc>,
    /// When the system was booted, in seconds since 1970; does not change.
    boot_seconds: Option<f64>,
}

impl Process {
    /// The collector.
    pub fn new() -> Self {
        let describe = |(name, help, _): (&str, &str, MetricType)| {
            Desc::new(name.into(), help.into(), Vec::new(), [].into()).expect("a valid metric")
        };
        let boot_seconds = read("/proc/stat").as_deref().and_then(boot_seconds);
        Self { descriptions: METRICS.map(describe).into(), boot_seconds }
    }

    /// The values in the order of [`METRICS`].
    fn values(&self) -> [Option<f64>; METRICS.len()] {
        let stat = read("/proc/self/stat").as_deref().and_then(Stat::parse);
        let ticks_per_second = clock_ticks_per_second() as f64;
        // The listing of the directory is itself one of the open files.
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1));
        [
            stat.as_ref().map(|it| it.cpu_ticks as f64 / ticks_per_second),
            stat.as_ref().map(|it| it.resident_pages as f64 * page_size() as f64),
            stat.as_ref().map(|it| it.virtual_bytes as f64),
            stat.as_ref().map(|it| it.threads as f64),
            stat.as_ref()
                .zip(self.boot_seconds)
                .map(|(it, boot)| boot + it.start_ticks as f64 / ticks_per_second),
            open.map(|it| it as f64),
            getrlimit(Resource::Nofile).current.map(|it| it as f64),
        ]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        METRICS.into_iter().zip(self.values()).filter_map(|(it, value)| Some(family(it, value?))).collect()
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn family((name, help, kind): (&str, &str, MetricType), value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program, in parentheses, may itself contain spaces and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The manual counts from 1, and the third field is the first after the name.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The boot time that `/proc/stat` says (proc_stat(5)).
fn boot_seconds(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the metric with this name.
    fn value(name: &str) -> f64 {
        let at = METRICS.iter().position(|it| it.0 == name).expect("a metric");
        Process::new().values()[at].expect("the system says")
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_hides_nothing() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 20 0 7 0 4711 1048576 32 18446744073709551615";
        let stat = Stat {
            cpu_ticks: 300,
            threads: 7,
            start_ticks: 4711,
            virtual_bytes: 1 << 20,
            resident_pages: 32,
        };
        assert_eq!(Stat::parse(&format!("42 (main) S (x) {fields}\n")), Some(stat));
        assert_eq!(Stat::parse("42 (short) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_boot_time_is_found() {
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1.7e9));
        assert_eq!(boot_seconds("cpu 1 2\n"), None);
    }

    #[test]
    fn the_figures_are_those_of_this_process() {
        let resident = value("process_resident_memory_bytes");
        assert!((1e6..1e12).contains(&resident), "{resident}");
        assert!(value("process_virtual_memory_bytes") >= resident);
        assert!(value("process_threads") >= 2.0, "the test has its own");
        let open = value("process_open_fds");
        assert!(open >= 3.0 && open <= value("process_max_fds"), "{open}");
        let clock = crate::system::SystemClock::new();
        let now = mainstay_base::time::Clock::wall(&clock).as_micros() as f64 / 1e6;
        let age = now - value("process_start_time_seconds");
        // The system's clock may have been set since the boot; a day off would be a wrong unit.
        assert!(age.abs() < 86_400.0, "{age}");
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = value("process_cpu_seconds_total");
        let mut work = 0_u64;
        while value("process_cpu_seconds_total") <= before {
            work = std::hint::black_box(work + 1);
        }
    }

    #[test]
    fn the_families_have_standard_names_and_kinds() {
        let families = Process::new().collect();
        assert_eq!(families.len(), METRICS.len());
        for (family, (name, _, kind)) in families.iter().zip(METRICS) {
            assert_eq!((family.name(), family.get_field_type()), (name, kind));
        }
        let memory = families.iter().find(|it| it.name() == "process_resident_memory_bytes").expect("memory");
        assert!(memory.get_metric()[0].get_gauge().get_value() > 0.0 || cfg!(not(target_os = "linux")));
    }
}
