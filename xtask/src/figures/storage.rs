//! Nothing is stored: no file is opened for writing after the start, and memory returns when messages have passed.

use super::row;
use crate::process::{Memory, Programs, Server};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Messages of one wave.
const MESSAGES: u64 = 1_000_000;
/// Waves that are compared, after those that warm up.
const WAVES: usize = 3;
/// How long waves warm up: a server remembers for up to 120 s which posts it has seen, by their hashes, and that table
/// is part of what it takes under this load.
const WARM_UP: Duration = Duration::from_secs(130);
/// Their content, in bytes.
const SIZE: usize = 64;
/// One client may publish 18,000 messages a second.
const PUBLISHERS: usize = 16;
const READERS: usize = 4;
/// How long the server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(10);
/// How far memory may be above what it was before, and the third peak above the second, as a factor.
const MEMORY_WITHIN: f64 = 1.10;
const PEAK_WITHIN: f64 = 1.05;
/// Time between two looks at the open files.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(programs: &Programs) -> Result<()> {
    let memory = memory(programs);
    let traced = match traced(programs)? {
        Some(lines) => format!("strace -f saw none from `ready` to the end ({lines} calls with file names)"),
        None => "strace is not installed, so only open files were looked at".to_owned(),
    };
    println!("files opened for writing: {traced}");
    memory
}

/// Waves of messages: memory before, at the peak and after, while open files are watched.
fn memory(programs: &Programs) -> Result<()> {
    let server = programs.server()?;
    let watch = Watch::start(server.pid);
    let mut load = programs.load(&server.tcp)?;
    load.ask(&format!("publishers {PUBLISHERS}"))?;
    load.ask(&format!("readers {READERS}"))?;
    println!(
        "{PUBLISHERS} publishers, {READERS} readers in all channels, {MESSAGES} messages of {SIZE} bytes a wave; KiB"
    );
    row("", &["posts", "seconds", "peak RSS", "RSS", "private"].map(str::to_owned));
    let start = Instant::now();
    let mut wave = || {
        watch.peak.store(0, Ordering::Relaxed);
        let name = if start.elapsed() < WARM_UP { "warm-up" } else { "wave" };
        let sent = load.wave(&format!("send {MESSAGES} {SIZE}"))?;
        let peak = watch.peak.load(Ordering::Relaxed);
        std::thread::sleep(IDLE);
        let after = server.memory()?;
        let cells = [sent.posts, sent.seconds.round() as u64, peak, after.rss, after.private];
        row(name, &cells.map(|cell| cell.to_string()));
        Ok::<_, anyhow::Error>((peak, after))
    };
    let (_, mut before) = wave()?;
    while start.elapsed() < WARM_UP {
        (_, before) = wave()?;
    }
    let (mut peaks, mut after) = (Vec::new(), before);
    for _ in 0..WAVES {
        let (peak, left) = wave()?;
        peaks.push(peak);
        after = left;
    }
    drop(load);
    let looks = watch.end()?;
    let said = server.stop()?;
    let factor = |new: u64, old: u64| new as f64 / old as f64;
    let (rss, private) = (factor(after.rss, before.rss), factor(after.private, before.private));
    println!("after / before: RSS {rss:.3}, private {private:.3}; at most {MEMORY_WITHIN} asked for");
    let [.., second, third] = peaks[..] else { anyhow::bail!("three waves") };
    let peak = factor(third, second);
    println!("peak of the last wave / of the one before: {peak:.3}; at most {PEAK_WITHIN} asked for");
    println!("open files looked at {looks} times: none was open for writing");
    ensure!(!said.iter().any(|line| line.contains("xxxxxxxx")), "a message stands in the server's output");
    ensure!(rss <= MEMORY_WITHIN && private <= MEMORY_WITHIN, "memory does not return");
    ensure!(peak <= PEAK_WITHIN, "memory grows from wave to wave");
    Ok(())
}

/// Looks at a process while others keep it busy.
struct Watch {
    peak: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Watch {
    fn start(pid: u32) -> Self {
        let (peak, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peaks, end) = (Arc::clone(&peak), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !end.load(Ordering::Relaxed) {
                let written = open_for_writing(pid)?;
                ensure!(written.is_empty(), "open for writing: {written:?}");
                peaks.fetch_max(Memory::rss_of(pid)?, Ordering::Relaxed);
                looks += 1;
                std::thread::sleep(LOOK);
            }
            Ok(looks)
        });
        Self { peak, ends, thread }
    }

    /// How often it looked; an error if it saw a file open for writing.
    fn end(self) -> Result<u64> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| anyhow::bail!("the watch ended early"))
    }
}

/// Files that a process has open for writing. Sockets, pipes and the kernel's own objects have no name in a file
/// system, and what goes to the null device is nowhere.
fn open_for_writing(pid: u32) -> Result<BTreeSet<String>> {
    let mut open = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // It may be closed by now.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let number = entry.file_name();
        let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy())) else {
            continue;
        };
        if target.is_absolute() && target != Path::new("/dev/null") && is_writable(&info) {
            open.insert(target.display().to_string());
        }
    }
    Ok(open)
}

/// Whether the flags, in octal, hold `O_WRONLY` (1) or `O_RDWR` (2).
fn is_writable(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & 3 != 0)
}

/// One wave under strace: fails for every call after `ready` that could change a file. `None`: no strace here.
fn traced(programs: &Programs) -> Result<Option<usize>> {
    let found = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let log = std::env::temp_dir().join(format!("darkchat-figures-{}.strace", std::process::id()));
    let outcome = trace(programs, &log);
    let calls = outcome.and_then(|ready| check(&fs::read_to_string(&log)?, ready));
    fs::remove_file(&log)?;
    calls.map(Some)
}

/// Runs the wave; returns when the server was ready, in seconds since 1970.
fn trace(programs: &Programs, log: &Path) -> Result<f64> {
    let log = log.to_str().context("a path in UTF-8")?;
    // The filter in the kernel lets all other calls run at full speed.
    let flags =
        ["strace", "-f", "--seccomp-bpf", "-ttt", "-e", "trace=%file", "-e", "signal=none", "-o", log];
    let server: Server = programs.server_under(&flags)?;
    let ready = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let mut load = programs.load(&server.tcp)?;
    load.ask(&format!("publishers {PUBLISHERS}"))?;
    load.ask(&format!("readers {READERS}"))?;
    let wave = load.wave(&format!("send {MESSAGES} {SIZE}"))?;
    println!("under strace: {} messages in {} posts, {:.0} s", wave.messages, wave.posts, wave.seconds);
    drop(load);
    server.stop()?;
    Ok(ready)
}

/// Calls that name a file and only look at it.
const LOOKS: [&str; 12] = [
    "access",
    "faccessat",
    "faccessat2",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "statfs",
    "readlink",
    "readlinkat",
    "getcwd",
    "execve",
];

/// Counts the calls of a trace; fails for one after `ready` that could change a file.
fn check(trace: &str, ready: f64) -> Result<usize> {
    let mut calls = 0;
    for line in trace.lines() {
        // The process, padded to a column; the time; the call.
        let Some((_pid, said)) = line.split_once(' ') else { continue };
        let Some((time, call)) = said.trim_start().split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        calls += 1;
        if time.parse::<f64>()? < ready || LOOKS.contains(&name) {
            continue;
        }
        let opens = matches!(name, "open" | "openat");
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| rest.contains(flag));
        ensure!(opens && !writes, "after `ready` the server called: {call}");
    }
    ensure!(calls > 0, "the trace is empty, so it shows nothing");
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_writers_from_readers() {
        assert!(is_writable("pos:\t0\nflags:\t0100001\nmnt_id:\t9\n"));
        assert!(is_writable("pos:\t0\nflags:\t0100002\n"));
        assert!(!is_writable("pos:\t0\nflags:\t02100000\n"));
        assert!(is_writable("no flags"), "what cannot be read is no proof");
    }

    #[test]
    fn a_file_opened_for_writing_is_found_in_this_process() {
        let path = std::env::temp_dir().join(format!("darkchat-figures-{}.open", std::process::id()));
        let file = fs::File::create(&path).unwrap();
        let open = open_for_writing(std::process::id()).unwrap();
        drop(file);
        fs::remove_file(&path).unwrap();
        assert!(open.contains(&path.display().to_string()), "{open:?}");
    }

    #[test]
    fn a_trace_fails_for_what_changes_a_file_after_the_start_and_for_nothing_else() {
        let early = "7     100.5 openat(AT_FDCWD, \"/a\", O_WRONLY|O_CREAT, 0600) = 3\n";
        let reads = "7 200.5 openat(AT_FDCWD, \"/proc/stat\", O_RDONLY|O_CLOEXEC) = 3\n8 200.6 stat(\"/a\", {}) = 0\n";
        assert_eq!(check(&format!("{early}{reads}"), 150.0).unwrap(), 3);
        for bad in [
            "openat(AT_FDCWD, \"/a\", O_RDWR) = 3",
            "rename(\"/a\", \"/b\") = 0",
            "unlink(\"/a\") = 0",
            "creat(\"/a\", 0600) = 3",
        ] {
            assert!(check(&format!("{early}{reads}9 200.7 {bad}\n"), 150.0).is_err(), "{bad}");
        }
        assert!(check("", 150.0).is_err());
    }
}
