//! Runs one command of the operator: no shell, a process group of its own, an end to its time and to what it says.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::runner::stopped;
use crate::clock;

/// What is kept of the output: its beginning and its end.
const HEAD: usize = 16 * 1024;
const TAIL: usize = 48 * 1024;

/// How long a group may take to end by itself when it is asked to.
const ENDING: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 5_000 });
/// How long what a command has left behind may go on talking.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Variables that every hook gets if they are set. Nothing here is secret.
const ORDINARY: [&str; 9] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR",
];
/// Ours hold passwords; what a hook needs of them it is told.
const OURS: &str = "ATREST_";

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With exit status 0.
    Succeeded,
    /// With another one, by a signal, or it could not be started.
    Failed(String),
    /// It took too long, and its group was ended.
    TimedOut,
    /// The operator wants to stop, and its group was ended.
    Stopped,
}

/// A command that was run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) seconds: f64,
    /// Beginning and end of what it said on both outputs, fit for a terminal.
    pub(super) output: String,
}

impl Ran {
    /// The last line it said.
    pub(super) fn last_line(&self) -> Option<&str> {
        self.output
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
    }
}

/// Runs it to its end.
pub(super) async fn run(
    command: &[String],
    timeout: Duration,
    told: &[(&'static str, String)],
    inherit: &[String],
    stop: watch::Receiver<bool>,
) -> Ran {
    let began = clock::instant();
    let said = Arc::new(Mutex::new(Said::default()));
    let end = match start(command, told, inherit) {
        Err(why) => End::Failed(why),
        Ok((mut child, output)) => {
            let reading = tokio::spawn(read(output, Arc::clone(&said)));
            let end = wait(&mut child, timeout, stop).await;
            // A service that it has started may hold its output open for as long as it likes.
            let abort = reading.abort_handle();
            if clock::within(LAST_WORDS, reading).await.is_none() {
                abort.abort();
            }
            end
        }
    };
    Ran {
        end,
        seconds: began.elapsed().as_secs_f64(),
        output: said.lock().unwrap_or_else(PoisonError::into_inner).text(),
    }
}

/// A started command. Its whole group ends with the value, unless it has ended by itself.
struct Started {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended in this very moment.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

fn start(
    command: &[String],
    told: &[(&'static str, String)],
    inherit: &[String],
) -> Result<(Started, pipe::Receiver), String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let cannot = |error: std::io::Error| format!("{program} could not be started: {error}");
    let (output, input) = std::io::pipe().map_err(cannot)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(inherited(std::env::vars_os(), inherit))
        .envs(told.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(input.try_clone().map_err(cannot)?)
        .stderr(input)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(cannot)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    // Our own ends of the pipe go with the builder; the reader then sees the end when the command's are closed.
    drop(command);
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(cannot)?;
    Ok((Started { child, group }, output))
}

/// Variables that are handed on.
fn inherited(
    all: impl Iterator<Item = (OsString, OsString)>,
    inherit: &[String],
) -> Vec<(OsString, OsString)> {
    let matches = |name: &str, pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    all.filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            !name.starts_with(OURS)
                && (ORDINARY.iter().any(|pattern| matches(name, pattern))
                    || inherit.iter().any(|pattern| matches(name, pattern)))
        })
    })
    .collect()
}

async fn wait(started: &mut Started, timeout: Duration, stop: watch::Receiver<bool>) -> End {
    let end = tokio::select! {
        biased;
        ended = started.child.wait() => {
            // What it has left running on purpose stays.
            started.group = None;
            return match ended {
                Ok(status) if status.success() => End::Succeeded,
                Ok(status) => End::Failed(words(status)),
                Err(error) => End::Failed(format!("it could not be waited for: {error}")),
            };
        }
        () = stopped(stop) => End::Stopped,
        () = clock::sleep(timeout) => End::TimedOut,
    };
    end_group(started).await;
    end
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

/// Asks the group to end, then ends it. Its first process is not reaped before: until then its id, which is the
/// group's, belongs to nobody else.
async fn end_group(started: &mut Started) {
    let Some(group) = started.group.take() else {
        return;
    };
    let _gone = kill_process_group(group, Signal::TERM);
    let began = clock::instant();
    while began.elapsed() < ENDING && is_running(group) {
        clock::sleep(Duration::from_millis(20)).await;
    }
    let _gone = kill_process_group(group, Signal::KILL);
    // Nobody survives that signal.
    let _status = started.child.wait().await;
}

fn is_running(process: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(process), look), Ok(None))
}

/// Takes all that is said, keeps what fits. The command never waits for us.
async fn read(mut output: pipe::Receiver, said: Arc<Mutex<Said>>) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(length) = output.read(&mut buffer).await {
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else {
            break;
        };
        said.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(part);
    }
}

/// Beginning and end of an output.
#[derive(Debug, Default)]
struct Said {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Said {
    fn take(&mut self, part: &[u8]) {
        let (head, rest) = part.split_at(part.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.left_out == 0 {
            let whole = [self.head.as_slice(), &tail].concat();
            let text = printable(&whole);
            return match end_of(&text, HEAD + TAIL) {
                end if end.len() == text.len() => text,
                end => format!("[...]\n{end}"),
            };
        }
        let (head, tail) = (printable(&self.head), printable(&tail));
        format!(
            "{}\n[{} bytes left out]\n{}",
            beginning_of(&head, HEAD),
            self.left_out,
            end_of(&tail, TAIL)
        )
    }
}

/// Text in which nothing steers a terminal or hides; lines stay lines.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        match c {
            '\n' => safe.push(c),
            '\t' => safe.push(' '),
            c if c.is_control() || hides => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

fn beginning_of(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rfind(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn end_of(text: &str, most: usize) -> &str {
    let begin =
        (text.len().saturating_sub(most)..=text.len()).find(|at| text.is_char_boundary(*at));
    text.get(begin.unwrap_or(0)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, timeout: Duration, told: &[(&'static str, String)]) -> Ran {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let (_keep, stop) = watch::channel(false);
        run(&command, timeout, told, &[], stop).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn status_and_both_outputs_are_kept_and_nothing_steers_a_terminal() {
        let told = [("ATREST_RUN", "sunday".to_owned())];
        let ran = sh(
            "printf 'a \\033[2J'; echo $ATREST_RUN >&2; exit 3",
            LONG,
            &told,
        )
        .await;
        assert_eq!(ran.end, End::Failed("exit status 3".to_owned()));
        assert_eq!(ran.output, "a \\u{1b}[2Jsunday\n");
        assert_eq!(ran.last_line(), Some("a \\u{1b}[2Jsunday"));
        let missing = run(
            &["/nowhere/x".to_owned()],
            LONG,
            &[],
            &[],
            watch::channel(false).1,
        )
        .await;
        assert!(matches!(missing.end, End::Failed(why) if why.contains("/nowhere/x")));
    }

    #[tokio::test]
    async fn a_flood_is_read_to_its_end_and_cut() {
        let script = "echo first; head -c 3000000 /dev/zero; echo; echo last";
        let ran = sh(script, LONG, &[]).await;
        assert_eq!(ran.end, End::Succeeded);
        assert!(ran.output.len() < HEAD + TAIL + 100, "{}", ran.output.len());
        assert!(ran.output.starts_with("first\n"));
        assert!(ran.output.contains("bytes left out]"));
        assert_eq!(ran.last_line(), Some("last"));
    }

    /// A group that ignores the polite signal, with a child of its own, is gone afterwards.
    #[tokio::test]
    async fn what_hangs_is_ended_with_its_children() {
        let script = "trap '' TERM; sleep 1000 & echo $!; wait; wait";
        let ran = sh(script, Duration::from_millis(300), &[]).await;
        assert_eq!(ran.end, End::TimedOut);
        let child: i32 = ran.output.trim().parse().unwrap();
        // It has lost its parent; whoever adopted it may take a moment to reap it.
        let gone = |id: i32| {
            std::fs::read_to_string(format!("/proc/{id}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        let began = clock::instant();
        while !gone(child) {
            assert!(began.elapsed() < LONG, "{child} is still there");
            clock::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_wish_to_stop_ends_it() {
        let (send, stop) = watch::channel(false);
        let command = ["/bin/sh", "-c", "sleep 1000"].map(str::to_owned);
        let running = tokio::spawn(async move { run(&command, LONG, &[], &[], stop).await });
        send.send_replace(true);
        assert_eq!(running.await.unwrap().end, End::Stopped);
    }

    #[test]
    fn passwords_of_ours_are_never_handed_on() {
        let all = [
            "PATH",
            "LC_ALL",
            "AWS_PROFILE",
            "AWS_SECRET_ACCESS_KEY",
            "ATREST_MYSQL_PASSWORD",
            "X",
        ]
        .map(|name| (OsString::from(name), OsString::from("v")));
        let names = |inherit: &[&str]| -> Vec<String> {
            let inherit: Vec<String> = inherit.iter().map(|name| (*name).to_owned()).collect();
            inherited(all.clone().into_iter(), &inherit)
                .into_iter()
                .map(|(name, _)| name.into_string().unwrap())
                .collect()
        };
        assert_eq!(names(&[]), ["PATH", "LC_ALL"]);
        assert_eq!(names(&["AWS_PROFILE"]), ["PATH", "LC_ALL", "AWS_PROFILE"]);
        assert!(!names(&["*", "ATREST_*"]).contains(&"ATREST_MYSQL_PASSWORD".to_owned()));
    }
}
