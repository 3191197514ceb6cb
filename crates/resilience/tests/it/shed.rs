//! Shedding: when not all can be served, the most critical are.
