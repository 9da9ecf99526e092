//! Host-side benches. Nothing is implemented yet.
