//! Injected faults: delays, errors and aborts by rule, for tests, laboratories and drills.
