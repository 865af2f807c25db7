//! What a store must do, executable. Every store passes this suite.
