//! Proves what is encrypted at rest on this host and reports it.
