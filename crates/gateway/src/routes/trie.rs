//! The patterns of all routes as trees of segments, one for each host, and the walk over a path.
//!
//! A node is entered at most once in a walk: trees have one way to each. So a walk enters no more nodes than lie on the ways of patterns that the path
//! begins with, whatever its length; of its segments, only as many are looked at as the longest pattern has. Literal segments are found in one hash table for
//! all nodes, by a hash that is made once for each segment.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::config::{Host, Pattern, Segment};

mod children;
mod segments;

use children::{Children, hash};
pub(super) use segments::Segments;

#[derive(Debug, Default)]
struct Node {
    /// For any segment that is not empty; 0 if no pattern goes on so, as the root is nobody's child.
    param: u32,
    /// The leaf of patterns that end here, counted from 1; 0 if there are none.
    end: u32,
    /// The leaf of patterns that match whatever follows.
    rest: u32,
}

#[derive(Debug)]
pub(super) struct Trie {
    nodes: Box<[Node]>,
    children: Children,
    hosts: Children,
    wildcards: Children,
    /// The labels of the wildcard that has most.
    wildcard_labels_max: usize,
    /// The tree of routes for any host; 0 if there is none.
    any_host: u32,
    /// The segments of the longest pattern, without a rest.
    depth_max: usize,
}

/// What a walk tells of.
pub(super) trait Visitor<T> {
    /// A node is entered.
    fn node(&mut self) {}

    /// A leaf's patterns match, more specific ones first; by its place. `Break` ends the walk.
    fn leaf(&mut self, place: usize) -> ControlFlow<T>;
}

impl<T, F: FnMut(usize) -> ControlFlow<T>> Visitor<T> for F {
    fn leaf(&mut self, place: usize) -> ControlFlow<T> {
        self(place)
    }
}

impl Trie {
    pub(super) fn segments<'p>(&self, path: &'p str) -> Segments<'p> {
        Segments::split(path, self.depth_max)
    }

    /// Tells a visitor of the leaves for a host and a path: the exact host's first, then those of wildcards, longer ones first, then those for any host.
    pub(super) fn walk<T>(
        &self,
        host: &str,
        path: &Segments<'_>,
        visitor: &mut impl Visitor<T>,
    ) -> ControlFlow<T> {
        if let Some(root) = self.hosts.find(0, hash(host.as_bytes()), host) {
            self.walk_node(root, 0, path, visitor)?;
        }
        if self.wildcard_labels_max > 0 {
            self.walk_wildcards(host, path, visitor)?;
        }
        if self.any_host > 0 {
            self.walk_node(self.any_host, 0, path, visitor)?;
        }
        ControlFlow::Continue(())
    }

    fn walk_wildcards<T>(
        &self,
        host: &str,
        path: &Segments<'_>,
        visitor: &mut impl Visitor<T>,
    ) -> ControlFlow<T> {
        let mut labels = host.bytes().filter(|byte| *byte == b'.').count();
        for (at, _) in host.match_indices('.') {
            if at > 0 && labels <= self.wildcard_labels_max {
                let name = &host[at + 1..];
                if let Some(root) = self.wildcards.find(0, hash(name.as_bytes()), name) {
                    self.walk_node(root, 0, path, visitor)?;
                }
            }
            labels -= 1;
        }
        ControlFlow::Continue(())
    }

    /// At most as deep as a pattern is long, [`Pattern::SEGMENTS_MAX`].
    fn walk_node<T>(
        &self,
        at: u32,
        depth: usize,
        path: &Segments<'_>,
        visitor: &mut impl Visitor<T>,
    ) -> ControlFlow<T> {
        visitor.node();
        let node = &self.nodes[at as usize];
        if let Some((segment, hash)) = path.get(depth) {
            if let Some(child) = self.children.find(at, hash, segment) {
                self.walk_node(child, depth + 1, path, visitor)?;
            }
            if node.param > 0 && !segment.is_empty() {
                self.walk_node(node.param, depth + 1, path, visitor)?;
            }
        } else if path.ends_at(depth) && node.end > 0 {
            visitor.leaf(node.end as usize - 1)?;
        }
        if node.rest > 0 {
            visitor.leaf(node.rest as usize - 1)?;
        }
        ControlFlow::Continue(())
    }
}

/// Makes a [`Trie`].
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    children: BTreeMap<(u32, Box<str>), u32>,
    hosts: BTreeMap<(u32, Box<str>), u32>,
    wildcards: BTreeMap<(u32, Box<str>), u32>,
    any_host: u32,
    depth_max: usize,
    leaves: u32,
}

impl Builder {
    fn node(&mut self) -> u32 {
        if self.nodes.is_empty() {
            // The place 0 says that there is none.
            self.nodes.push(Node::default());
        }
        self.nodes.push(Node::default());
        u32::try_from(self.nodes.len() - 1).expect("memory ends before")
    }

    /// The place of the leaf of a pattern for a host; a new one is as many as there were before.
    pub(super) fn insert(&mut self, host: Option<&Host>, pattern: Option<&Pattern>) -> usize {
        let mut at = self.root(host);
        let mut is_rest = pattern.is_none();
        for segment in pattern.map_or(&[][..], Pattern::segments) {
            match segment {
                Segment::Literal(text) => {
                    let key = (at, text.clone());
                    at = match self.children.get(&key) {
                        Some(child) => *child,
                        None => {
                            let child = self.node();
                            self.children.insert(key, child);
                            child
                        }
                    };
                }
                Segment::Param(_) => {
                    if self.nodes[at as usize].param == 0 {
                        self.nodes[at as usize].param = self.node();
                    }
                    at = self.nodes[at as usize].param;
                }
                Segment::Rest(_) => is_rest = true,
            }
        }
        let depth = pattern.map_or(0, |pattern| pattern.segments().len() - usize::from(is_rest));
        self.depth_max = self.depth_max.max(depth);
        let node = &mut self.nodes[at as usize];
        let leaf = if is_rest { &mut node.rest } else { &mut node.end };
        if *leaf == 0 {
            self.leaves += 1;
            *leaf = self.leaves;
        }
        *leaf as usize - 1
    }

    fn root(&mut self, host: Option<&Host>) -> u32 {
        let Some(host) = host else {
            if self.any_host == 0 {
                self.any_host = self.node();
            }
            return self.any_host;
        };
        let key = (0, host.name().into());
        let roots = if host.is_wildcard() { &self.wildcards } else { &self.hosts };
        if let Some(root) = roots.get(&key) {
            return *root;
        }
        let root = self.node();
        let roots = if host.is_wildcard() { &mut self.wildcards } else { &mut self.hosts };
        roots.insert(key, root);
        root
    }

    pub(super) fn finish(self) -> Trie {
        let labels = self.wildcards.keys().map(|(_, name)| name.split('.').count());
        Trie {
            wildcard_labels_max: labels.max().unwrap_or(0),
            nodes: self.nodes.into(),
            children: Children::new(self.children),
            hosts: Children::new(self.hosts),
            wildcards: Children::new(self.wildcards),
            any_host: self.any_host,
            depth_max: self.depth_max,
        }
    }
}
