//! The one way to serve HTTP: every listener of Herder goes through [`serve`], so that no client can take another's
//! place, whatever it sends or leaves out.
//!
//! Each connection has a *seat*. Seats are counted, in all and by where the client is, and each knows since when its
//! client is waited for: for the handshake, a request's head or body, the next request, or to take an answer. Who is
//! waited for too long goes; when seats are short, who is waited for longest goes first, and whoever works is never cut
//! off: watches, logs that are followed, event streams and upgraded connections are work.
//!
//! Owns connections, their limits in time and number, and draining. Knows nothing of what is served: a [`Handler`]
//! answers, also in the case that there is no room, in its protocol's own words.

mod body;
mod connection;
mod files;
mod limits;
mod places;
mod room;
mod seat;
mod serve;
mod socket;

pub use body::{Arriving, BodyError};
pub use connection::{Handler, Peer};
pub use files::raise_file_limit;
pub use limits::{Limits, Plain, Refusal};
pub use places::{Place, Places};
pub use serve::{Settings, serve};
pub use socket::Socket;
