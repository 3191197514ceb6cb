//! A bulkhead: so many calls at a time, and those that wait take turns by their callers.
