//! How a command ends when it does not end well: a code for programs, a sentence for people, an exit code for shells.

use crate::clean;
use darkchat_client::{ConnectError, JoinError, SendError};
use darkchat_crypto::system::KeyFileError;
use darkchat_proto::Code;
use serde::Serialize;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Which kind of end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Connect,
    WrongServer,
    Version,
    Refused,
    NotHere,
    Timeout,
    TooLarge,
    Closed,
    KeyFile,
    Io,
}

impl What {
    const fn exit(self) -> u8 {
        match self {
            Self::Connect | Self::WrongServer | Self::Version => 3,
            Self::Refused | Self::NotHere => 4,
            Self::Timeout => 5,
            Self::TooLarge | Self::Closed | Self::KeyFile | Self::Io => 1,
        }
    }
}

/// The end of a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Of { what: What, message: String, reason: Option<Code>, retry: Option<Duration> },
    /// The flags or the input make no sense: always told as plain text.
    Usage(String),
    /// Nobody reads standard output any more, which is no failure.
    ReaderGone,
    /// A signal ended it.
    Signal(i32),
}

impl Failure {
    pub(crate) fn new(what: What, message: impl Into<String>) -> Self {
        Self::Of { what, message: message.into(), reason: None, retry: None }
    }

    /// A `Goodbye` after which there is no coming back.
    pub(crate) fn ended(code: Code) -> Self {
        let what = match code {
            Code::Version => What::Version,
            Code::Conflict | Code::Blocked | Code::Unauthorized => What::Refused,
            _ => What::Closed,
        };
        let message = format!("the connection ended ({code}): {}", code.sentence());
        Self::Of { what, message, reason: Some(code), retry: None }
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let (line, exit) = match self {
            Self::ReaderGone => return ExitCode::SUCCESS,
            Self::Signal(number) => return ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX)),
            Self::Usage(message) => (format!("darkchat: {message}"), 2),
            Self::Of { what, message, .. } if !json => (format!("darkchat: {message}"), what.exit()),
            Self::Of { what, message, reason, retry } => {
                let error = ErrorLine {
                    v: 1,
                    r#type: "error",
                    code: *what,
                    message,
                    reason: reason.map(Code::name),
                    retry_ms: retry.and_then(|retry| u64::try_from(retry.as_millis()).ok()),
                };
                (serde_json::to_string(&error).unwrap_or_default(), what.exit())
            }
        };
        // With standard error gone there is nobody left to tell.
        drop(io::Write::write_all(&mut io::stderr(), format!("{line}\n").as_bytes()));
        ExitCode::from(exit)
    }
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    v: u32,
    r#type: &'a str,
    code: What,
    message: &'a str,
    reason: Option<&'static str>,
    retry_ms: Option<u64>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Of { message, .. } | Self::Usage(message) => f.write_str(message),
            Self::ReaderGone => f.write_str("nobody reads the output"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::new(What::Io, error.to_string()),
        }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::new(What::KeyFile, chain(&error))
    }
}

/// An error with its sources, each after a colon.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let (what, reason) = match &error {
            ConnectError::WrongServer { .. } | ConnectError::PinnedServer { .. } => (What::WrongServer, None),
            ConnectError::Version { .. } => (What::Version, Some(Code::Version)),
            ConnectError::Refused { code, .. } => (What::Refused, Some(*code)),
            _ => (What::Connect, None),
        };
        // What the server says stands in it.
        Self::Of { what, message: clean::text(&chain(&error)), reason, retry: None }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Refused { code, retry } => {
                Self::Of { what: What::Refused, message: error.to_string(), reason: Some(code), retry }
            }
            JoinError::TimedOut => Self::new(What::Timeout, error.to_string()),
            JoinError::Private(_) => Self::new(What::Refused, error.to_string()),
            _ => Self::new(What::Closed, error.to_string()),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let message = error.to_string();
        match error {
            SendError::Refused { code, retry } => {
                Self::Of { what: What::Refused, message, reason: Some(code), retry }
            }
            SendError::TooLarge { .. } => Self::new(What::TooLarge, message),
            SendError::NotHere => Self::new(What::NotHere, message),
            SendError::TimedOut => Self::new(What::Timeout, message),
            _ => Self::new(What::Closed, message),
        }
    }
}
