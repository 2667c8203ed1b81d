//! The netlink socket: transactions, one at a time, and their outcome.

use super::command::{Command, Element, REQUEST, SUBSYSTEM, message};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use thiserror::Error;

/// A transaction is one packet: an ordinary user's socket takes no more than the system's `wmem_max` at a time.
const LARGEST: usize = 120 << 10;
const ACK: u16 = 4;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const ERROR: u16 = 2;

/// Why the packet filter did not take something.
#[derive(Debug, Error)]
pub(crate) enum NftError {
    /// The kernel has none, or does not let this process use it.
    #[error(
        "the kernel's packet filter cannot be used, and without it pods could not be kept apart (nf_tables is needed: as root, `modprobe nf_tables`, or a kernel with CONFIG_NF_TABLES)"
    )]
    Socket(#[source] io::Error),
    /// One request was refused, and with it the whole transaction.
    #[error("the kernel's packet filter refused to {what}")]
    Refused {
        /// The request.
        what: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

impl NftError {
    fn at(what: &str, errno: Errno) -> Self {
        Self::Refused {
            what: what.to_owned(),
            source: errno.into(),
        }
    }
}

/// A connection to the packet filter of the network namespace of the thread that opened it.
#[derive(Debug)]
pub(in super::super) struct Nft {
    socket: OwnedFd,
    sequence: u32,
}

impl Nft {
    pub(in super::super) fn open() -> Result<Self, NftError> {
        let refused = |errno: Errno| NftError::Socket(errno.into());
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(refused)?;
        // As large as the system lets it be: both are only a matter of speed.
        _ = setsockopt(&socket, sockopt::SndBuf, &(4 * LARGEST));
        _ = setsockopt(&socket, sockopt::RcvBuf, &(4 * LARGEST));
        // The kernel answers at once; a wait would be a defect, and must not hold up the network for ever.
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).map_err(refused)?;
        Ok(Self { socket, sequence: 1 })
    }

    /// Does all of it, in order. What fits one packet is one transaction: it happens as a whole or not at all.
    pub(in super::super) fn run(&mut self, commands: &[Command]) -> Result<(), NftError> {
        let mut batch: Vec<&Command> = Vec::new();
        let mut size = 0;
        for command in commands {
            let length = command.attrs.0.len() + 20;
            if size + length > LARGEST && !batch.is_empty() {
                self.transaction(&batch)?;
                batch.clear();
                size = 0;
            }
            size += length;
            batch.push(command);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.transaction(&batch)
    }

    fn transaction(&mut self, commands: &[&Command]) -> Result<(), NftError> {
        let first = self.sequence;
        let mut packet = message(BATCH_BEGIN, REQUEST, first, (0, SUBSYSTEM), &[]);
        let mut last = first;
        for (index, command) in commands.iter().enumerate() {
            last = last.wrapping_add(1);
            // Refusals are told of in any case, and before the last one's acknowledgement.
            let ack = if index + 1 == commands.len() { ACK } else { 0 };
            packet.extend(command.message(last, ack));
        }
        packet.extend(message(
            BATCH_END,
            REQUEST,
            last.wrapping_add(1),
            (0, SUBSYSTEM),
            &[],
        ));
        self.sequence = last.wrapping_add(2);
        let what = |sequence: u32| {
            let index = usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
            commands
                .get(index.wrapping_sub(1))
                .map_or("begin a transaction", |command| &command.what)
        };
        send(self.socket.as_raw_fd(), &packet, MsgFlags::empty())
            .map_err(|errno| NftError::at("take a transaction", errno))?;
        let mut refused = None;
        loop {
            for (sequence, errno) in self.outcomes()? {
                // Left over from a transaction whose end was not waited for.
                if sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                if let Some(errno) = errno {
                    refused.get_or_insert_with(|| NftError::at(what(sequence), errno));
                }
                if sequence == last || sequence == first {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Whether a set has an element.
    pub(in super::super) fn has(&mut self, set: &str, element: &Element) -> Result<bool, NftError> {
        let command = Command::get(set, element);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        send(
            self.socket.as_raw_fd(),
            &command.message(sequence, ACK),
            MsgFlags::empty(),
        )
        .map_err(|errno| NftError::at(&command.what, errno))?;
        loop {
            for (told, errno) in self.outcomes()? {
                match errno {
                    _ if told != sequence => {}
                    None => return Ok(true),
                    Some(Errno::ENOENT) => return Ok(false),
                    Some(errno) => return Err(NftError::at(&command.what, errno)),
                }
            }
        }
    }

    /// `(sequence, errno)` of the acknowledgements in one packet.
    fn outcomes(&self) -> Result<Vec<(u32, Option<Errno>)>, NftError> {
        let mut buffer = vec![0_u8; 16 << 10];
        let length = loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                other => break other.map_err(|errno| NftError::at("answer", errno))?,
            }
        };
        Ok(acknowledgements(buffer.get(..length).unwrap_or_default()))
    }
}

fn acknowledgements(mut packet: &[u8]) -> Vec<(u32, Option<Errno>)> {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let half = |bytes: &[u8], at: usize| -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    };
    let mut found = Vec::new();
    while let (Some(length), Some(kind), Some(sequence)) = (
        word(packet, 0).and_then(|length| usize::try_from(length).ok()),
        half(packet, 4),
        word(packet, 8),
    ) {
        if kind == ERROR
            && let Some(code) = word(packet, 16).map(u32::cast_signed)
        {
            found.push((sequence, (code != 0).then(|| Errno::from_raw(-code))));
        }
        match packet.get(length.max(16).next_multiple_of(4)..) {
            Some(rest) => packet = rest,
            None => break,
        }
    }
    found
}
