//! One server process: started, waited for, killed, started again.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ServiceError;
use crate::fetch::{no_java, tail};

/// How long a server may take until it is ready, on a machine that does other things, too.
const READY: Duration = Duration::from_secs(180);
/// How long a server may take to stop when asked.
const STOP: Duration = Duration::from_secs(30);
const LOOK_DELAY: Duration = Duration::from_millis(50);

/// Becomes the server. Beside it stays a shell that reads from the pipe of the process that started it: if that ends
/// without a word, however it ends, the shell kills the server and removes its directory.
const GUARD: &str = r#"
directory=$1; shift
exec 3<&0
{
    trap '' INT TERM HUP
    if ! read -r word; then kill -9 $$; rm -rf "$directory"; sleep 1; rm -rf "$directory"; fi
} <&3 >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"#;

/// How a server is started.
pub(crate) struct Recipe {
    /// For messages: "Kafka node 1".
    pub name: String,
    /// The program and its arguments.
    pub command: Command,
    /// The line of its log that says that it is ready.
    pub ready_line: &'static str,
    /// Where it listens then.
    pub address: SocketAddr,
}

/// A server and its directory. Killed when dropped, also when the process that started it is killed.
pub(crate) struct Server {
    recipe: Recipe,
    directory: TempDir,
    child: Option<Child>,
    /// Open while the guard has to watch; kept apart from the child, because waiting for that would close it.
    guard: Option<ChildStdin>,
}

impl Server {
    /// A server that is not started yet; its files belong into the directory.
    pub(crate) fn new(directory: TempDir, recipe: Recipe) -> Self {
        Server { recipe, directory, child: None, guard: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.recipe.address
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("out.log")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it, without waiting.
    pub(crate) fn launch(&mut self) -> Result<(), ServiceError> {
        assert!(self.child.is_none(), "{} runs already", self.recipe.name);
        let log = self.log();
        let out = File::create(&log).map_err(ServiceError::io("create", &log))?;
        let err = out.try_clone().map_err(ServiceError::io("create", &log))?;
        let command = &self.recipe.command;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(self.directory.path());
        guard.arg(command.get_program()).args(command.get_args());
        guard.current_dir(self.directory.path()).process_group(0);
        guard.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut child = guard.spawn().map_err(|source| no_java(command.get_program(), source))?;
        self.guard = child.stdin.take();
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it is ready. If it fails the server is not running any more.
    pub(crate) fn wait_ready(&mut self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + READY;
        while !self.is_ready() {
            if self.has_ended() {
                let (name, log, tail) = self.described();
                self.forget();
                return Err(ServiceError::Ended { name, log, tail });
            }
            if Instant::now() > deadline {
                let (name, log, tail) = self.described();
                self.kill();
                return Err(ServiceError::Slow { name, seconds: READY.as_secs(), log, tail });
            }
            std::thread::sleep(LOOK_DELAY);
        }
        Ok(())
    }

    /// Ends it at once, as if the machine had failed. Its data stay for the next start.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // An error means that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.forget();
    }

    /// Asks it to stop, and kills it if it takes too long. Says how it ended, if it ran.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        let pid = self.pid()?;
        self.signal(pid, "TERM");
        let deadline = Instant::now() + STOP;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(LOOK_DELAY);
        }
        let child = self.child.as_mut()?;
        let _ = child.kill();
        let status = child.wait().ok();
        self.forget();
        status
    }

    /// Stops the process where it is (SIGSTOP): it stays connected, and answers nobody.
    pub(crate) fn freeze(&self) {
        if let Some(pid) = self.pid() {
            self.signal(pid, "STOP");
        }
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        if let Some(pid) = self.pid() {
            self.signal(pid, "CONT");
        }
    }

    fn signal(&self, pid: u32, signal: &str) {
        // It can only fail if the process has ended, and then there is nothing to do.
        let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    }

    fn is_ready(&self) -> bool {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).contains(self.recipe.ready_line)
            && TcpStream::connect_timeout(&self.recipe.address, Duration::from_secs(1)).is_ok()
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        }
    }

    /// Tells the guard that there is nothing left to do: the process number may soon be another's.
    fn forget(&mut self) {
        self.child = None;
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.write_all(b"ended\n");
        }
    }

    fn described(&self) -> (String, PathBuf, String) {
        let log = self.log();
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let without_traces: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("at ")).collect();
        (self.recipe.name.clone(), log, tail(&without_traces.join("\n"), 40))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
