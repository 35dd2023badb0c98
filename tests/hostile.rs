//! Hostile and slow peers against the real programs, each in a process of its own, over real sockets: what they cost is
//! bounded in memory and in time, and nobody else has to wait. The bounds are those of `docs/operations.md`; what is
//! asserted is far above them, since all other tests run meanwhile.

mod agents;
mod answers;
mod bodies;
mod connections;
mod peers;
