//! Documents as the validator sees them, which count what is looked at.
//!
//! The validator has no bound of its own: alternatives within alternatives that refer to themselves can look at one value
//! more often than there are atoms. So each look is a step, and when the steps are spent every value is null and has no members: what is
//! left of the check ends at once, and its result does not count.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node as JsonNode, NodeIdentity, Object};
use serde_json::Value;

use super::document::{Number, Tree};
use super::structure::Prices;

/// The representation of documents that this module owns.
pub(super) struct Metered;

/// The steps that a check has left.
pub(super) struct Meter {
    left: Cell<u64>,
    errors_left: Cell<u64>,
    /// The steps of a whole check.
    steps: u64,
    /// The steps that a member takes, for each 32 bytes of its name.
    member_steps: u64,
    /// The steps that a number takes.
    number_steps: u64,
}

impl Meter {
    const STEPS: u64 = 200_000;
    const STEPS_PER_BYTE: u64 = 32;

    /// What it takes to divide by a fraction.
    const FRACTION_STEPS: u64 = 64;

    /// How many violations a check goes on for.
    const ERRORS: u64 = 4_096;

    pub(super) fn new(document_bytes: usize, prices: Prices) -> Self {
        let steps = Self::STEPS + Self::STEPS_PER_BYTE * document_bytes as u64;
        Self {
            left: Cell::new(steps),
            errors_left: Cell::new(Self::ERRORS),
            steps,
            member_steps: 1 + prices.member_patterns as u64,
            number_steps: if prices.has_fractions { Self::FRACTION_STEPS } else { 1 },
        }
    }

    /// All steps are there again.
    pub(super) fn refill(&self) {
        self.left.set(self.steps);
        self.errors_left.set(Self::ERRORS);
    }

    /// Whether the check looked at more than it may, or found more than it goes on for.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Takes steps; whether there were enough.
    fn take(&self, steps: u64) -> bool {
        let left = self.left.get().saturating_sub(steps);
        self.left.set(left);
        left > 0
    }

    fn take_error(&self) {
        let left = self.errors_left.get().saturating_sub(1);
        self.errors_left.set(left);
        if left == 0 {
            self.left.set(0);
        }
    }
}

/// A value of a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    tree: &'a Tree<'a>,
    meter: &'a Meter,
}

impl<'a> Node<'a> {
    pub(super) fn new(tree: &'a Tree<'a>, meter: &'a Meter) -> Self {
        Self { tree, meter }
    }

    /// Takes a step for looking at the value.
    fn look(&self) -> &'a Tree<'a> {
        if self.meter.take(1) { self.tree } else { &Tree::Null }
    }
}

impl Json for Metered {
    type Node<'a> = Node<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        let tree = Tree::String(Cow::Borrowed(string));
        f(Node::new(&tree, &Meter::new(string.len(), Prices::default())))
    }
}

impl<'a> JsonNode<'a, Metered> for Node<'a> {
    type Object = Members<'a>;
    type Array = Elements<'a>;
    type Number = Number;

    fn as_object(&self) -> Option<Members<'a>> {
        let Tree::Object(members) = self.look() else { return None };
        Some(Members { members, meter: self.meter })
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        let Tree::Array(elements) = self.look() else { return None };
        Some(Elements { elements, meter: self.meter })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let Tree::String(text) = self.look() else { return None };
        let is_paid = self.meter.take(text.len() as u64 / 32);
        is_paid.then_some(Cow::Borrowed(text.as_ref()))
    }

    fn as_number(&self) -> Option<Number> {
        let Tree::Number(number) = self.look() else { return None };
        self.meter.take(self.meter.number_steps).then_some(*number)
    }

    fn as_boolean(&self) -> Option<bool> {
        let Tree::Bool(value) = self.look() else { return None };
        Some(*value)
    }

    fn is_null(&self) -> bool {
        matches!(self.look(), Tree::Null)
    }

    fn json_type(&self) -> JsonType {
        match self.look() {
            Tree::Null => JsonType::Null,
            Tree::Bool(_) => JsonType::Boolean,
            Tree::Number(_) => JsonType::Number,
            Tree::String(_) => JsonType::String,
            Tree::Array(_) => JsonType::Array,
            Tree::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        let tree = self.look();
        let is_paid = !matches!(tree, Tree::Array(_) | Tree::Object(_)) || self.meter.take(4);
        is_paid && tree.is(expected)
    }

    /// What a violation is reported with: whether it was found when the steps were spent, and is none.
    fn to_value(&self) -> Cow<'a, Value> {
        let is_none = self.meter.is_spent();
        self.meter.take_error();
        Cow::Owned(Value::Bool(is_none))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.tree) as usize))
    }
}

/// The members of an object.
pub(super) struct Members<'a> {
    members: &'a [(Cow<'a, str>, Tree<'a>)],
    meter: &'a Meter,
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = Node<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.members.len()
    }

    fn get(&self, key: &String) -> Option<Node<'a>> {
        if !self.meter.take(1) {
            return None;
        }
        let place = self.members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).ok()?;
        Some(Node::new(&self.members[place].1, self.meter))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter { members: self.members.iter(), meter: self.meter }
    }

    fn try_for_each_name_node<B>(
        &self,
        (): &mut (),
        mut f: impl FnMut(Node<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (name, _) in self.members() {
            let tree = Tree::String(Cow::Borrowed(name));
            f(Node::new(&tree, self.meter))?;
        }
        ControlFlow::Continue(())
    }
}

/// The members of an object, one after the other.
pub(super) struct MembersIter<'a> {
    members: std::slice::Iter<'a, (Cow<'a, str>, Tree<'a>)>,
    meter: &'a Meter,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, tree) = self.members.next()?;
        let steps = self.meter.member_steps * (1 + name.len() as u64 / 32);
        self.meter.take(steps).then(|| (name.as_ref(), Node::new(tree, self.meter)))
    }
}

/// The elements of an array.
pub(super) struct Elements<'a> {
    elements: &'a [Tree<'a>],
    meter: &'a Meter,
}

impl<'a> Array<'a, Metered> for Elements<'a> {
    type Node = Node<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter { elements: self.elements.iter(), meter: self.meter }
    }

    fn is_unique(&self) -> bool {
        let mut elements: Vec<&Tree<'_>> = self.elements.iter().collect();
        elements.sort_unstable_by(|one, other| {
            self.meter.take(1);
            one.cmp(other)
        });
        elements.windows(2).all(|pair| pair[0].cmp(pair[1]).is_ne())
    }
}

/// The elements of an array, one after the other.
pub(super) struct ElementsIter<'a> {
    elements: std::slice::Iter<'a, Tree<'a>>,
    meter: &'a Meter,
}

impl<'a> Iterator for ElementsIter<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        let tree = self.elements.next()?;
        self.meter.take(1).then(|| Node::new(tree, self.meter))
    }
}

impl JsonNumber for Number {
    fn as_u64(&self) -> Option<u64> {
        let Self::Whole(whole) = self else { return None };
        (*whole).try_into().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        let Self::Whole(whole) = self else { return None };
        (*whole).try_into().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        Some(self.as_double())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Self::Whole(whole) => whole.to_string(),
            Self::Double(double) => double.to_string(),
        })
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(match self {
            Self::Whole(whole) => serde_json::Number::from_i128(*whole).expect("it has 64 bits"),
            Self::Double(double) => serde_json::Number::from_f64(*double).expect("it is finite"),
        })
    }

    fn is_integer(&self) -> bool {
        self.is_whole()
    }
}
