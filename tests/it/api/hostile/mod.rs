//! Requests that nobody sends by mistake: each gets a clear refusal in bounded time, and changes nothing.

mod bodies;
mod members;
mod paths;
mod queries;
mod routes;
