//! What no good client says, on a real stack: each is answered as PROTOCOL says,
//! and none costs anybody else anything.

mod acks;
mod before_hello;
mod frames;
mod handshake;
mod slow_reader;
mod tokens;
mod websocket;
