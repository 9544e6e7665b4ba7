//! Plain types of atrest: no I/O, no async, no AWS.
