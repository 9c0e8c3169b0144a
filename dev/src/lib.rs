//! A whole local Petrel in one command, and the tools that use it: terminal chat, load generator.
