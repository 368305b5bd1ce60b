//! A whole exchange with callers, agents and a bad network on a virtual clock.
