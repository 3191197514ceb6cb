//! Lists of numbers that are linked through the numbers themselves: any is taken out at once, and nothing is allocated for it.

/// What comes before and after each number of one kind. A number is in at most one list of its kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Links(Vec<Link>);

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    before: Option<u32>,
    after: Option<u32>,
}

/// The ends of a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct List {
    pub(super) first: Option<u32>,
    pub(super) last: Option<u32>,
}

impl Links {
    /// Puts one that is in no list at the end.
    pub(super) fn push(&mut self, list: &mut List, number: u32) {
        let index = number as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, Link::default());
        }
        self.0[index] = Link { before: list.last, after: None };
        match list.last.replace(number) {
            Some(before) => self.0[before as usize].after = Some(number),
            None => list.first = Some(number),
        }
    }

    /// Takes one out that is in this list.
    pub(super) fn remove(&mut self, list: &mut List, number: u32) {
        let Link { before, after } = self.0[number as usize];
        match before {
            Some(before) => self.0[before as usize].after = after,
            None => list.first = after,
        }
        match after {
            Some(after) => self.0[after as usize].before = before,
            None => list.last = before,
        }
    }
}
