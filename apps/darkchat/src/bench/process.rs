//! What processes of this machine have taken, as Linux tells it.

use super::Failure;
use crate::failure::What;
use std::fmt::Display;
use std::fs;

/// What the kernel counts processor time in: `USER_HZ` is 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;
/// User time among the fields after the process's name; system time follows.
const USER: usize = 11;

/// The processes to watch.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Vec<u32>);

/// What they have taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) cpu_s: f64,
    pub(crate) rss_kib: u64,
}

impl Processes {
    /// Fails for a process that is not there.
    pub(crate) fn watch(pids: &[u32]) -> Result<Self, Failure> {
        let processes = Self(pids.to_vec());
        processes.taken()?;
        Ok(processes)
    }

    /// `None` if nobody is watched.
    pub(crate) fn taken(&self) -> Result<Option<Taken>, Failure> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut all = Taken::default();
        for pid in &self.0 {
            let read = |file: &str| {
                fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|error| missing(*pid, &error))
            };
            all.cpu_s += cpu_s(&read("stat")?).ok_or_else(|| missing(*pid, &"its times are not told"))?;
            all.rss_kib += rss_kib(&read("status")?).ok_or_else(|| missing(*pid, &"it has ended"))?;
        }
        Ok(Some(all))
    }
}

fn missing(pid: u32, why: &dyn Display) -> Failure {
    Failure::new(What::Io, format!("cannot watch process {pid}: {why}"))
}

fn cpu_s(stat: &str) -> Option<f64> {
    // The name, which may hold anything, ends with the last bracket; then the state is the first field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(USER)? + ticks(USER + 1)?) / TICKS_PER_SECOND)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_shifts_nothing() {
        let stat = "7 (a) b) (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 8 9 20 0 3 0 1 2 3";
        assert_eq!(cpu_s(stat), Some(3.0));
        assert_eq!(rss_kib("Name:\tx\nVmRSS:\t   1234 kB\n"), Some(1_234));
    }

    #[test]
    fn this_process_can_be_watched_and_one_that_is_not_there_cannot() {
        let taken = Processes::watch(&[std::process::id()]).unwrap().taken().unwrap().unwrap();
        assert!(taken.rss_kib > 100);
        let error = Processes::watch(&[u32::MAX]).unwrap_err();
        assert!(error.to_string().contains(&u32::MAX.to_string()), "{error}");
    }
}
