//! Policies of atrest: what is flagged, and why.
