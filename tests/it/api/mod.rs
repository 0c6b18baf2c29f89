//! The HTTP contract, resource by resource, over real HTTP.
