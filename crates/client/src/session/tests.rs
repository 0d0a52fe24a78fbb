//! Stories of a session and a scripted server.
