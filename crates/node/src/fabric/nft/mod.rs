//! The kernel's packet filter (nf_tables) by netlink: messages, expressions and transactions. Owns no rule: what is
//! allowed is the wall's business. Written here because no maintained crate speaks this without a C library or a
//! program to call; it knows only the few messages and expressions that the wall uses.

mod command;
mod rule;
mod socket;

pub(super) use command::{Command, Element, Key, Set, Verdict};
pub(super) use rule::{CtState, Rule};
pub(super) use socket::Nft;
pub(crate) use socket::NftError;
