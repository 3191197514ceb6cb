//! A book as text: lines of JSON, the first of which says what they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Book, Kept, Record};

/// The format that is written. Another one is not read: to guess at routes would be worse than not to start.
const FORMAT: u32 = 1;

/// A text that is no book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A line.
    #[error("line {line} cannot be read: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// It has another format.
    #[error("its format is {found}, and this version reads {FORMAT}: start the version that wrote it")]
    Format {
        /// The format.
        found: u32,
    },
    /// It does not end as it was written.
    #[error("it has {found} lines, and its first says {expected}")]
    Length {
        /// So many lines.
        found: usize,
        /// So many should be there.
        expected: usize,
    },
}

/// The first line. That of another format may say more.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    sequence: u64,
    /// How many follow.
    lines: usize,
}

/// Each other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Record(Record),
    Kept(Kept),
}

impl Book {
    /// The book as text.
    pub fn to_text(&self) -> String {
        let records = self.entries.values().flatten().map(|record| Line::Record(Record::clone(record)));
        let kept = self.kept.iter().map(|kept| Line::Kept(kept.clone()));
        let lines: Vec<Line> = records.chain(kept).collect();
        let head = Head { format: FORMAT, sequence: self.sequence, lines: lines.len() };
        let mut text = serde_json::to_string(&head).expect("plain data");
        for line in &lines {
            text.push('\n');
            text.push_str(&serde_json::to_string(line).expect("plain data"));
        }
        text.push('\n');
        text
    }

    /// Reads what was written. Errors: [`TextError`].
    pub fn of_text(text: &str) -> Result<Self, TextError> {
        let wrong =
            |line: usize| move |error: serde_json::Error| TextError::Line { line, reason: error.to_string() };
        let mut lines = text.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap_or_default()).map_err(wrong(1))?;
        if head.format != FORMAT {
            return Err(TextError::Format { found: head.format });
        }
        let mut book = Self { sequence: head.sequence, ..Self::default() };
        let mut found = 0;
        for (number, line) in (2..).zip(lines) {
            found += 1;
            match serde_json::from_str(line).map_err(wrong(number))? {
                Line::Kept(kept) => book.kept.push(kept),
                Line::Record(record) => {
                    let key = (record.kind, record.name.clone());
                    book.entries.entry(key).or_default().push(Arc::new(record));
                }
            }
        }
        if found != head.lines {
            return Err(TextError::Length { found, expected: head.lines });
        }
        Ok(book)
    }
}
