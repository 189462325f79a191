//! A run of the real binary, of one process or of several, and how it is made to end.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes of a cluster have met when they have run for so long.
const MEETING: Duration = Duration::from_secs(4);

/// The processes of a run; killed when dropped.
pub struct Group {
    children: Vec<Child>,
    errors: Vec<PathBuf>,
    line: String,
    started: Instant,
}

/// How a process of a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Ended {
    pub fn killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    pub fn aborted(&self) -> bool {
        self.status.signal() == Some(6)
    }

    pub fn failpoint(&self, name: &str) -> bool {
        self.aborted() && self.stderr.contains(&format!("failpoint {name} panic"))
    }
}

/// What to start.
pub struct Start<'a> {
    pub dir: &'a Path,
    pub command: &'a str,
    pub processes: usize,
    pub workers: usize,
    /// `FAILPOINTS`, and the process that gets it.
    pub failpoints: Option<(String, usize)>,
}

impl Start<'_> {
    pub fn spawn(&self) -> Group {
        let ports: Vec<TcpListener> =
            (0..self.processes).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let hosts: Vec<String> = ports.iter().map(|port| port.local_addr().expect("its address").to_string()).collect();
        drop(ports);
        let command = |process: usize| {
            let mut args = vec![self.command.to_owned(), "pipeline.yaml".to_owned()];
            args.extend(["--workers".to_owned(), self.workers.to_string()]);
            if self.processes > 1 {
                args.extend(["--hosts".to_owned(), hosts.join(","), "--process".to_owned(), process.to_string()]);
            }
            let mut command = Command::new(env!("CARGO_BIN_EXE_flowstone"));
            command.args(&args).current_dir(self.dir).env_remove("FLOWSTONE_LOG").env_remove("FAILPOINTS");
            command.stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((failpoints, _)) = self.failpoints.as_ref().filter(|(_, at)| *at == process) {
                command.env("FAILPOINTS", failpoints);
            }
            command
        };
        Group::start(self.dir, (0..self.processes).map(command).collect())
    }
}

impl Group {
    /// Starts all; what they say on standard error goes to files in the directory.
    pub fn start(dir: &Path, commands: Vec<Command>) -> Self {
        let mut group =
            Group { children: Vec::new(), errors: Vec::new(), line: format!("{commands:?}"), started: Instant::now() };
        for (process, mut command) in commands.into_iter().enumerate() {
            let errors = dir.join(format!("stderr-{process}"));
            command.stderr(File::create(&errors).expect("a file"));
            group.children.push(command.spawn().expect("a child"));
            group.errors.push(errors);
        }
        group
    }

    pub fn is_running(&mut self) -> bool {
        self.children.iter_mut().any(|child| child.try_wait().expect("a child").is_none())
    }

    /// Waits until it ends, or for so long; says whether it has ended.
    pub fn wait_for(&mut self, most: Duration) -> bool {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() >= most {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Whoever waits for a peer that has crashed before they met waits for long: that is not the hang that is looked for.
    /// Kills what is left of such a run.
    pub fn end_those_without_peers(&mut self) {
        let has_crashed =
            |child: &mut Child| child.try_wait().expect("a child").is_some_and(|status| !status.success());
        if self.children.iter_mut().any(has_crashed) && self.started.elapsed() < MEETING && !self.wait_for(MEETING) {
            (0..self.children.len()).for_each(|process| self.kill(process));
        }
    }

    /// `kill -9` of one process.
    pub fn kill(&mut self, process: usize) {
        // It may have ended by itself.
        let _ = self.children[process].kill();
    }

    /// Asks all processes to stop.
    pub fn stop(&mut self) {
        for child in &mut self.children {
            if child.try_wait().expect("a child").is_none() {
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
            }
        }
    }

    /// Waits for the end of all processes. Panics if one hangs.
    pub fn wait(mut self) -> Vec<Ended> {
        if !self.wait_for(PATIENCE) {
            let said = self.said().join("\n--\n");
            panic!("it hangs: {}\n{said}", self.line);
        }
        let said = self.said();
        let status = |child: &mut Child| child.wait().expect("a child");
        self.children.iter_mut().zip(said).map(|(child, stderr)| Ended { status: status(child), stderr }).collect()
    }

    fn said(&self) -> Vec<String> {
        let text = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned();
        self.errors.iter().map(text).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
