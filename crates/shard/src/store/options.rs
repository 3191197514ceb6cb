//! How stores are kept: what they may use, together and each.

use mainstay_base::units::Size;

use super::Error;

/// A flush writes tables of at most 64 MiB: below it, a memtable is one table.
const MEMTABLE_MAX: Size = Size::from_mib(32);

const MEMTABLE_MIN: Size = Size::from_kib(16);

const NO_MAX: Size = Size::from_bytes(u64::MAX);

/// How the stores of one [`Pool`](super::Pool) are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A memtable of this size is flushed; 16 KiB to 32 MiB. Smaller ones are more tables to merge, larger ones more to replay.
    /// With many stores they are flushed earlier: those that are written to never take more than half of `memtables_max`.
    /// Default: 8 MiB.
    pub memtable: Size,
    /// All memtables of all stores together, at least four times `memtable`. From half of it on the owners are asked to slow down.
    /// The process takes up to twice as much for them. Default: 256 MiB.
    pub memtables_max: Size,
    /// Blocks of tables that are kept in memory, of all stores together; at least 1 MiB. Default: 64 MiB.
    pub cache: Size,
    /// Tables that are kept open, of all stores together; 16 to 65,536. Each is a file descriptor. Default: 512.
    pub files_max: usize,
    /// A compaction begins a new table at this size; 64 KiB to 64 MiB. The last one is synced while no flush can end.
    /// Default: 8 MiB.
    pub table: Size,
    /// As many flushed runs are merged; 2 to 32. More are fewer bytes written, and more places to look for a row. Default: 4.
    pub level0_runs: u8,
    /// Threads that flush; 1 to 16. A second one is of use while logs are replayed. Default: 1.
    pub flush_threads: usize,
    /// Threads that compact and delete ranges; 1 to 16. Default: 1.
    pub compaction_threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable: Size::from_mib(8),
            memtables_max: Size::from_mib(256),
            cache: Size::from_mib(64),
            files_max: 512,
            table: Size::from_mib(8),
            level0_runs: 4,
            flush_threads: 1,
            compaction_threads: 1,
        }
    }
}

impl Options {
    /// Errors: [`Error::Options`] with the first field that is out of its range, and the range.
    pub fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("memtable", self.memtable, MEMTABLE_MIN, MEMTABLE_MAX),
            (
                "memtables_max",
                self.memtables_max,
                Size::from_bytes(self.memtable.bytes().saturating_mul(4)),
                NO_MAX,
            ),
            ("cache", self.cache, Size::from_mib(1), NO_MAX),
            ("table", self.table, Size::from_kib(64), Size::from_mib(64)),
        ];
        for (field, size, min, max) in sizes {
            if size < min || size > max {
                let allowed =
                    if max == NO_MAX { format!("{min} or more") } else { format!("{min} to {max}") };
                return Err(Error::Options { field, found: size.to_string(), allowed });
            }
        }
        let numbers = [
            ("files_max", self.files_max, 16, 65_536),
            ("level0_runs", self.level0_runs.into(), 2, 32),
            ("flush_threads", self.flush_threads, 1, 16),
            ("compaction_threads", self.compaction_threads, 1, 16),
        ];
        for (field, number, min, max) in numbers {
            if !(min..=max).contains(&number) {
                let allowed = format!("{min} to {max}");
                return Err(Error::Options { field, found: number.to_string(), allowed });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let default = Options::default;
        assert_eq!(default().check(), Ok(()));
        for (options, says) in [
            (Options { memtable: Size::from_kib(1), ..default() }, "memtable is 1KiB: use 16KiB to 32MiB"),
            (Options { memtable: Size::from_mib(33), ..default() }, "memtable is 33MiB: use"),
            (
                Options { memtables_max: Size::from_mib(31), ..default() },
                "memtables_max is 31MiB: use 32MiB or more",
            ),
            (Options { cache: Size::ZERO, ..default() }, "cache is 0B: use 1MiB or more"),
            (Options { table: Size::from_mib(65), ..default() }, "table is 65MiB: use 64KiB to 64MiB"),
            (Options { files_max: 3, ..default() }, "files_max is 3: use 16 to 65536"),
            (Options { level0_runs: 1, ..default() }, "level0_runs is 1: use 2 to 32"),
            (Options { flush_threads: 0, ..default() }, "flush_threads is 0: use 1 to 16"),
            (Options { compaction_threads: 17, ..default() }, "compaction_threads is 17: use 1 to 16"),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
