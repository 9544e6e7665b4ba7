//! Facts about the data of a server.
