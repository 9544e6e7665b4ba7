//! Nobody connected, nothing written: who must stop a run, who must not, and that ending it lets the run go on.

mod offenders;
mod writes;
