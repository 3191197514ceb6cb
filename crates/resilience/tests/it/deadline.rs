//! Deadlines and timeouts: what is due is not begun, and what takes too long is given up.
