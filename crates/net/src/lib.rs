//! Sockets, the real clock, and the packet drivers of the media workers.
