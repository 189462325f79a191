//! What a server consists of: jars from Maven and what is compiled of them, or wheels for Python. Fetched once, and kept.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ServiceError;

/// The environment variable that names the directory of what was fetched.
pub const CACHE_VARIABLE: &str = "FLOWSTONE_SERVICES_CACHE";

const JDK: &str = "a JDK 17 (Debian: apt-get install openjdk-17-jdk-headless), or set JAVA_HOME";
const PYTHON: &str = "Python 3 with its module venv (Debian: apt-get install python3-venv)";
const MAVEN: &str = "Maven (Debian: apt-get install maven)";

/// What to fetch.
pub(crate) struct Parts<'a> {
    pub name: &'a str,
    pub pom: &'a str,
    /// Whatever else [`Parts::make`] uses: if it changes, everything is fetched and made anew.
    pub sources: &'a [&'a str],
    /// Makes what is not in Maven, in a directory that has the jars in `lib/`.
    pub make: fn(&Path) -> Result<(), ServiceError>,
}

/// A place for what is fetched, locked: tests that run beside each other, also in other processes, fetch once.
struct Place {
    /// Where it is when it is complete.
    complete: PathBuf,
    draft: PathBuf,
    _lock: File,
}

impl Place {
    fn of(name: &str, contents: impl Hash) -> Result<Self, ServiceError> {
        let cache = cache();
        fs::create_dir_all(&cache).map_err(ServiceError::io("create", &cache))?;
        let path = cache.join(format!("{name}.lock"));
        let lock = File::create(&path).map_err(ServiceError::io("create", &path))?;
        lock.lock().map_err(ServiceError::io("lock", &path))?;
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        let complete = cache.join(format!("{name}-{:016x}", hasher.finish()));
        Ok(Place { complete, draft: cache.join(format!("{name}.draft")), _lock: lock })
    }

    /// An empty directory.
    fn empty(directory: &Path) -> Result<(), ServiceError> {
        if directory.is_dir() {
            fs::remove_dir_all(directory).map_err(ServiceError::io("remove", directory))?;
        }
        fs::create_dir_all(directory).map_err(ServiceError::io("create", directory))
    }
}

/// What to fetch for a server in Python.
pub(crate) struct Wheels<'a> {
    pub name: &'a str,
    /// Packages and their versions.
    pub requirements: &'a str,
}

/// Fetches wheels if they are not there, into a virtual environment, and returns its directory.
pub(crate) fn fetch_wheels(wheels: &Wheels<'_>) -> Result<PathBuf, ServiceError> {
    let place = Place::of(wheels.name, wheels.requirements)?;
    // Its programs name its path, so that it can not be made elsewhere and moved.
    let (directory, done) = (&place.complete, place.complete.join("complete"));
    if done.is_file() {
        return Ok(place.complete);
    }
    Place::empty(directory)?;
    let doing = format!("fetching {}", wheels.name);
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(directory);
    run(venv, PYTHON, &doing)?;
    let requirements = directory.join("requirements.txt");
    write(&requirements, wheels.requirements)?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements);
    run(pip, PYTHON, &doing)?;
    write(&done, "")?;
    Ok(place.complete)
}

/// Fetches the parts if they are not there, and returns their directory; the jars are in its `lib/`.
pub(crate) fn fetch(parts: &Parts<'_>) -> Result<PathBuf, ServiceError> {
    let Place { complete, draft, _lock } = Place::of(parts.name, (parts.pom, parts.sources))?;
    if complete.is_dir() {
        return Ok(complete);
    }
    Place::empty(&draft)?;
    let pom = draft.join("pom.xml");
    write(&pom, parts.pom)?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"]).arg(&pom);
    maven.arg(format!("-DoutputDirectory={}", draft.join("lib").display()));
    run(maven, MAVEN, &format!("fetching {}", parts.name))?;
    (parts.make)(&draft)?;
    fs::rename(&draft, &complete).map_err(ServiceError::io("rename", &draft))?;
    Ok(complete)
}

/// A program of the JDK.
pub(crate) fn java(program: &str) -> Command {
    match env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Command::new(Path::new(&home).join("bin").join(program)),
        _ => Command::new(program),
    }
}

/// Runs a program of the JDK to its end.
pub(crate) fn run_java(command: Command, doing: &str) -> Result<(), ServiceError> {
    run(command, JDK, doing)
}

/// What to install if `java` can not be run.
pub(crate) fn no_java(program: &OsStr, source: std::io::Error) -> ServiceError {
    ServiceError::Program { program: program.display().to_string(), package: JDK, source }
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    fs::write(path, text).map_err(ServiceError::io("write", path))
}

/// The jars of a directory whose names begin with one of these.
pub(crate) fn jars(lib: &Path, prefixes: &[&str]) -> Result<Vec<PathBuf>, ServiceError> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(lib).map_err(ServiceError::io("read", lib))? {
        let path = entry.map_err(ServiceError::io("read", lib))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            jars.push(path);
        }
    }
    jars.sort();
    Ok(jars)
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(CACHE_VARIABLE)
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("flowstone/services")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/flowstone/services")))
        .unwrap_or_else(|| env::temp_dir().join("flowstone-services"))
}

fn run(mut command: Command, package: &'static str, doing: &str) -> Result<(), ServiceError> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| ServiceError::Program { program: program.clone(), package, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let output = tail(&String::from_utf8_lossy(&said), 40);
    Err(ServiceError::Failed { program, doing: doing.to_owned(), output })
}
