//! Retries: what failed is tried again if that is safe, in time, and within a budget.
