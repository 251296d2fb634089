//! logproto.
