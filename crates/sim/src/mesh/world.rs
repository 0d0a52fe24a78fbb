//! What a run is: plain data, printed with its result, so that any run can be repeated.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// One run of many servers. Times are virtual; shares are fractions of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
// The command that takes these has the same name, and a group of its own.
#[group(skip)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Mesh::default()`")]
pub struct Mesh {
    /// How many servers there are.
    #[arg(long, default_value_t = 1_000)]
    pub servers: usize,
    /// The share of servers that nobody can dial.
    #[arg(long, default_value_t = 0.3, value_name = "SHARE")]
    pub outbound_only: f64,
    /// The average number of links of a server; each dials half of it.
    #[arg(long, default_value_t = 8)]
    pub degree: usize,
    /// How servers come to their links.
    #[arg(long, value_enum, default_value_t = Form::Pinned)]
    pub form: Form,
    /// The servers that want a message, besides that of its publisher.
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub interested: usize,
    /// The channels, each with members of its own.
    #[arg(long, default_value_t = 20)]
    pub channels: usize,
    /// Further channels of each server, in which nobody speaks.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub quiet_channels: usize,
    /// The messages, spread evenly over the time of the run.
    #[arg(long, default_value_t = 1_000)]
    pub messages: usize,
    /// For how many seconds messages are sent, and faults happen.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// How many seconds everybody has to come up, before channels are joined.
    #[arg(long, default_value_t = 20)]
    pub settle: u64,
    /// The shortest latency of a link, in milliseconds.
    #[arg(long, default_value_t = 5, value_name = "MS")]
    pub latency_min: u64,
    /// The longest, in milliseconds.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    pub latency_max: u64,
    /// The share of servers that crash, all within 0.2 s, after three tenths of the time.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub kill: f64,
    /// For so many seconds two halves lose everything that passes between them; then one address is reachable.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub split: u64,
    /// While the halves are apart, this share of the servers is restarted at another address, and this share of the
    /// members moves to another server of their half.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub churn: f64,
    /// The share of links that are cut in a minute, with what is on the way.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub loss: f64,
    /// After three tenths of the time the busiest link swallows everything.
    #[arg(long)]
    pub hole: bool,
    /// Faults end with the time of the run, and everything must converge; else they last until its end.
    #[arg(long)]
    pub liveness: bool,
    /// Hostile peers that say that they got everything, and pass nothing on.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub swallowers: usize,
    /// Hostile peers that pass nothing on, and never say what they got.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub mutes: usize,
    /// Hostile peers that make records as fast as they can.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub flooders: usize,
    /// Hostile peers that say different things about themselves under one number.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub equivocators: usize,
    /// Hostile peers that make records of others, which they cannot sign.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub forgers: usize,
    /// Everything else follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// How servers come to their links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "part of a world")]
pub enum Form {
    /// Their operators named all of them.
    Pinned,
    /// They know one address each, find the rest themselves, and find out whether they can be dialled.
    Discovery,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            servers: 1_000,
            outbound_only: 0.3,
            degree: 8,
            form: Form::Pinned,
            interested: 5,
            channels: 20,
            quiet_channels: 0,
            messages: 1_000,
            seconds: 60,
            settle: 20,
            latency_min: 5,
            latency_max: 100,
            kill: 0.0,
            split: 0,
            churn: 0.0,
            loss: 0.0,
            hole: false,
            liveness: false,
            swallowers: 0,
            mutes: 0,
            flooders: 0,
            equivocators: 0,
            forgers: 0,
            seed: 1,
        }
    }
}

/// A share of a number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few thousand servers; a float becomes the nearest number"
)]
pub(super) fn share(share: f64, of: usize) -> usize {
    ((share.clamp(0.0, 1.0) * of as f64).round() as usize).min(of)
}
