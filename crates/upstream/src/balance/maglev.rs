//! Consistent hashing as Maglev does it (Eisenbud et al., NSDI 2016, section 3.4).

use crate::endpoint::Id;

use super::mixed;

/// How many places a table has: a prime, and a hundred times as many as there are endpoints, mostly, so that shares differ by a hundredth.
const PLACES: u32 = 65_537;

/// A table in which each endpoint has as many places as its weight says. Each endpoint would have them in an order of its own, and they take turns in taking the next one that is free: so that
/// most stay where they are when one comes or goes.
#[derive(Debug)]
pub(super) struct Maglev {
    /// Empty where there is nothing to choose.
    places: Vec<u32>,
}

/// One endpoint while the table is filled.
struct Filling {
    id: Id,
    place: u32,
    next: u32,
    skip: u32,
    /// How many places it is due by now, as a share of those who take one in each round.
    due: f32,
    share: f32,
}

impl Maglev {
    pub(super) fn new(endpoints: impl Iterator<Item = (Id, f32)> + Clone) -> Self {
        let largest = endpoints.clone().map(|(_, weight)| weight).fold(0.0, f32::max);
        let mut filling: Vec<_> = endpoints
            .zip(0..)
            .map(|((id, weight), place)| {
                let (offset, skip) = (mixed(id.0), mixed(id.0 ^ 0x5bd1_e995_7b93_d2a1));
                Filling {
                    id,
                    place,
                    next: (offset % u64::from(PLACES)) as u32,
                    skip: (skip % u64::from(PLACES - 1)) as u32 + 1,
                    due: 0.0,
                    share: weight / largest,
                }
            })
            .collect();
        // So that all who know the same endpoints have the same table.
        filling.sort_unstable_by_key(|endpoint| endpoint.id);
        if filling.len() < 2 {
            return Self { places: Vec::new() };
        }
        let mut places = vec![u32::MAX; PLACES as usize];
        let mut free = PLACES;
        while free > 0 {
            for endpoint in &mut filling {
                endpoint.due += endpoint.share;
                if endpoint.due < 1.0 || free == 0 {
                    continue;
                }
                endpoint.due -= 1.0;
                // A prime number of places: it comes by all of them.
                while places[endpoint.next as usize] != u32::MAX {
                    endpoint.next = (endpoint.next + endpoint.skip) % PLACES;
                }
                places[endpoint.next as usize] = endpoint.place;
                free -= 1;
            }
        }
        Self { places }
    }

    /// The place of the endpoint that a key belongs to.
    pub(super) fn place(&self, key: u64) -> usize {
        self.places[(key % u64::from(PLACES)) as usize] as usize
    }
}
