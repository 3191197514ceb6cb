//! Which listeners routes are for: the names that any route has are known by their places, so that the name of a request's listener is looked up once, however many
//! routes there are, and not at all where none names a listener.

use mainstay_base::id::Name;

use super::config::Match;

/// The names of listeners that routes have, in order.
#[derive(Debug)]
pub(super) struct Listeners(Box<[Name]>);

/// The place of a name among [`Listeners`]; none for a listener without a name, or with one that no route has.
pub(super) type Place = Option<u32>;

/// The listeners of one route; of any if there are none.
#[derive(Debug)]
pub(super) struct Bound(Box<[u32]>);

impl Listeners {
    pub(super) fn of<'c>(routes: impl Iterator<Item = &'c Match>) -> Self {
        let mut names: Vec<Name> = routes.flat_map(|wanted| &wanted.listeners).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    pub(super) fn place(&self, name: &str) -> Place {
        let place = self.0.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        Some(u32::try_from(place).expect("memory ends before"))
    }

    /// Those of a route that is one of these.
    pub(super) fn bound(&self, wanted: &Match) -> Bound {
        let place = |name: &Name| self.place(name.as_str()).expect("it is a name of one of the routes");
        Bound(wanted.listeners.iter().map(place).collect())
    }
}

impl Bound {
    /// Whether a request that came in there is one for the route.
    pub(super) fn takes(&self, place: Place) -> bool {
        self.0.is_empty() || place.is_some_and(|place| self.0.contains(&place))
    }
}

/// Whether what routes say of listeners holds for one with this name.
pub(super) fn named(wanted: &[Name], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str() == name)
}
