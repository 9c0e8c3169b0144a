//! Petrel's gateway: HTTP and WebSocket sessions.
