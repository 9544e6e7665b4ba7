//! Integration tests: the built binary against the sandbox in a second process. One binary, because linking is slow.

mod bad_input;
mod harness;
mod resume;
mod whole_loop;
