//! Rate limits by caller.
