//! Rules that only show over time, or when many come at once.
