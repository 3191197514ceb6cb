//! Which collections are referred to, and by what: worked out once for each revision of the definitions.
//!
//! References of retired collections count: their items stay, and are there again when the collection is served again.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_base::id::{Name, Tenant};

use super::{OnDelete, Reference};
use crate::definition::Definition;

/// A reference, as the collection knows it that it is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The collection that refers.
    pub collection: Name,
    /// The reference's name there.
    pub name: Name,
    /// Its number.
    pub number: u32,
    /// What it says.
    pub reference: Reference,
}

/// All references of all tenants, by the collections that they are to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph(BTreeMap<Tenant, OfTenant>);

/// The references of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OfTenant {
    /// By the collection that they are to, in the order of who refers.
    to: BTreeMap<Name, Vec<Edge>>,
    /// Collections whose items must not end, and because of which reference.
    lasting: BTreeMap<Name, Edge>,
}

impl Graph {
    /// Those of these definitions.
    pub(crate) fn of(collections: &BTreeMap<Tenant, BTreeMap<Name, Arc<Definition>>>) -> Self {
        let of_tenant = collections.iter().map(|(tenant, named)| (tenant.clone(), OfTenant::of(named)));
        Self(of_tenant.filter(|(_, of_tenant)| !of_tenant.to.is_empty()).collect())
    }

    /// The references to a collection, in the order of who refers.
    pub fn to(&self, tenant: &Tenant, collection: &Name) -> &[Edge] {
        self.0.get(tenant).and_then(|of_tenant| of_tenant.to.get(collection)).map_or(&[], Vec::as_slice)
    }

    /// The reference because of which items of a collection must not end; none when they may.
    ///
    /// It is one to them that restricts, or one that takes such items along.
    pub fn lasting(&self, tenant: &Tenant, collection: &Name) -> Option<&Edge> {
        self.0.get(tenant)?.lasting.get(collection)
    }
}

impl OfTenant {
    fn of(named: &BTreeMap<Name, Arc<Definition>>) -> Self {
        let mut of_tenant = Self::default();
        for (collection, definition) in named {
            for (name, number, reference) in definition.references() {
                let (collection, name, reference) = (collection.clone(), name.clone(), reference.clone());
                let to = reference.collection.clone();
                of_tenant.to.entry(to).or_default().push(Edge { collection, name, number, reference });
            }
        }
        of_tenant.lasting = of_tenant.lasting();
        of_tenant
    }

    /// What a reference restricts must last, and so must what would take it along.
    fn lasting(&self) -> BTreeMap<Name, Edge> {
        let mut lasting = BTreeMap::<Name, Edge>::new();
        loop {
            let reaches = |edge: &&Edge| match edge.reference.on_delete {
                OnDelete::Restrict => true,
                OnDelete::Cascade => lasting.contains_key(&edge.collection),
                OnDelete::SetNull => false,
            };
            let all = self.to.iter().filter(|(to, _)| !lasting.contains_key(*to));
            let more: Vec<_> = all
                .filter_map(|(to, edges)| Some((to.clone(), edges.iter().find(reaches)?.clone())))
                .collect();
            if more.is_empty() {
                return lasting;
            }
            lasting.extend(more);
        }
    }
}

impl Edge {
    /// Whose it is, for people.
    pub fn shown(&self) -> String {
        format!("the reference {:?} of {:?}", self.name.as_str(), self.collection.as_str())
    }
}
