//! The Python extension module of portlease.
