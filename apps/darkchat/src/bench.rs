//! `darkchat bench`: loads a server with messages and sessions, counts what comes, and measures how long it took.

pub(crate) mod args;
mod board;
mod churn;
mod crowd;
mod direct;
mod files;
mod flow;
mod idle;
mod latency;
mod link;
mod pace;
mod process;
mod progress;
mod publish;
mod report;
mod skim;
mod stage;

use crate::args::Global;
use crate::failure::Failure;
use args::Work;

pub(crate) async fn run(global: &Global, work: &Work) -> Result<(), Failure> {
    let report = match work {
        Work::Fanout(flow) | Work::Mesh(flow) => flow::run(global, work, flow, 1).await?,
        Work::Pairs { channels, flow } => flow::run(global, work, flow, *channels).await?,
        Work::Direct(direct) => direct::run(global, direct).await?,
        Work::Churn(churn) => churn::run(global, churn).await?,
        Work::Idle(idle) => idle::run(global, idle).await?,
    };
    report.print(work.watch().json)
}
