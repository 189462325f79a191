//! Elasticsearch: one node.
//!
//! Elastic publishes the server and its network module as artifacts, and leaves out the rest of the distribution: there is no
//! security (no users, no TLS), no scripts, no reindexing, no update or delete by query. Put a proxy in front for the first.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fetch::{Parts, fetch, jars, java, run_java, write};
use crate::ports::free_port;
use crate::server::{Recipe, Server};
use crate::{ServiceError, temporary};

const VERSION: &str = "8.19.21";
const POM: &str = include_str!("../elasticsearch/pom.xml");
const MAIN: &str = include_str!("../elasticsearch/Main.java");
const ROOT: &str = include_str!("../elasticsearch/RootPlugin.java");
const LOGGING: &str = include_str!("../elasticsearch/log4j2.properties");
/// What belongs to the network module's class loader; on the server's class path it breaks both.
const NETWORK: &[&str] = &["netty-", "transport-netty4-", "elasticsearch-ssl-config-"];
/// The server looks for a library of vector functions, and without it does without all native code, compression included.
const NO_VECTORS: &str = "int vec_caps(void) { return 0; }\n";
const ZSTD: [&str; 3] =
    ["/usr/lib/x86_64-linux-gnu/libzstd.so.1", "/lib/x86_64-linux-gnu/libzstd.so.1", "/usr/lib64/libzstd.so.1"];

/// What it says when indices of an earlier start are back, too.
const READY: &str = "recovered [";

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct ElasticsearchOptions {
    /// Further lines of `elasticsearch.yml`.
    pub yaml: String,
    /// The heap.
    pub heap: &'static str,
}

impl Default for ElasticsearchOptions {
    fn default() -> Self {
        ElasticsearchOptions { yaml: String::new(), heap: "512m" }
    }
}

/// A running node. Killed when dropped.
pub struct Elasticsearch {
    server: Server,
}

impl Elasticsearch {
    /// Fetches what is missing, starts a node, and waits until it is ready.
    ///
    /// # Errors
    /// If Java or Maven are missing, or it does not start.
    pub fn start(options: &ElasticsearchOptions) -> Result<Self, ServiceError> {
        let parts = Parts { name: "elasticsearch", pom: POM, sources: &[MAIN, ROOT, NO_VECTORS], make };
        let parts = fetch(&parts)?;
        let directory = temporary("elasticsearch")?;
        let (port, transport_port) = (free_port()?, free_port()?);
        lay_out(directory.path(), &parts)?;
        let more = &options.yaml;
        let settings = format!(
            "cluster.name: flowstone-test\nnode.name: node-{port}\nnetwork.host: 127.0.0.1\nhttp.port: {port}\n\
             transport.port: {transport_port}\ndiscovery.type: single-node\n\
             cluster.routing.allocation.disk.threshold_enabled: false\naction.destructive_requires_name: true\n{more}\n"
        );
        write(&directory.path().join("config/elasticsearch.yml"), &settings)?;
        write(&directory.path().join("config/log4j2.properties"), LOGGING)?;
        let command = command(options, directory.path(), &parts);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let name = "Elasticsearch".to_owned();
        let mut server = Server::new(directory, Recipe { name, command, ready_line: READY, address });
        server.launch()?;
        server.wait_ready()?;
        Ok(Elasticsearch { server })
    }

    /// Where it listens for HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The same, for a [`Proxy`](crate::proxy::Proxy).
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again after [`Elasticsearch::kill`] or [`Elasticsearch::stop`], with its data, on its port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        self.server.launch()?;
        self.server.wait_ready()
    }

    /// Lets it stand still, connected as it is (SIGSTOP).
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.server.log()
    }
}

/// Compiles what starts the server, and the plugin that answers for `/`.
fn make(draft: &Path) -> Result<(), ServiceError> {
    let lib = draft.join("lib");
    for (class, source) in [("Main", MAIN), ("RootPlugin", ROOT)] {
        let path = draft.join(format!("{class}.java"));
        write(&path, source)?;
        let mut javac = java("javac");
        javac.args(["-nowarn", "--release", "17", "-cp"]).arg(lib.join("*"));
        javac.arg("-d").arg(draft.join(format!("classes-{class}"))).arg(&path);
        run_java(javac, "compiling what starts Elasticsearch")?;
    }
    let mut jar = java("jar");
    jar.arg("--create").arg("--file").arg(draft.join("root.jar"));
    jar.arg("-C").arg(draft.join("classes-RootPlugin")).arg(".");
    run_java(jar, "packing a plugin")?;
    for network in jars(&lib, &["transport-netty4-"])? {
        let mut unpack = java("jar");
        unpack.current_dir(draft).arg("--extract").arg("--file").arg(network).arg("META-INF/es-plugins");
        run_java(unpack, "unpacking a descriptor")?;
    }
    // The server's class path.
    let boot = draft.join("boot");
    create(&boot)?;
    for jar in jars(&lib, &[""])? {
        let name = jar.file_name().unwrap_or_default();
        if !NETWORK.iter().any(|network| name.to_string_lossy().starts_with(network)) {
            link(&Path::new("../lib").join(name), &boot.join(name))?;
        }
    }
    // Without a C compiler only what is compressed with zstd does not work.
    write(&draft.join("vectors.c"), NO_VECTORS)?;
    let (source, library) = (draft.join("vectors.c"), draft.join("libvec.so"));
    let _ = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).output();
    Ok(())
}

/// Makes the home directory of a node.
fn lay_out(home: &Path, parts: &Path) -> Result<(), ServiceError> {
    for name in ["config", "data", "logs", "plugins", "tmp", "lib/platform/linux-x64"] {
        create(&home.join(name))?;
    }
    let network = home.join("modules/transport-netty4");
    create(&network)?;
    for jar in jars(&parts.join("lib"), NETWORK)? {
        link(&jar, &network.join(jar.file_name().unwrap_or_default()))?;
    }
    let descriptor = parts.join("META-INF/es-plugins/transport-netty4/plugin-descriptor.properties");
    let text = std::fs::read_to_string(&descriptor).map_err(ServiceError::io("read", descriptor))?;
    // The server is on the class path, not on the module path.
    let lines = text.lines().filter(|line| !line.starts_with("modulename"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    write(&network.join("plugin-descriptor.properties"), &text)?;
    let root = home.join("modules/root");
    create(&root)?;
    link(&parts.join("root.jar"), &root.join("root.jar"))?;
    let descriptor = format!(
        "name=root\ndescription=GET /\nversion={VERSION}\nelasticsearch.version={VERSION}\njava.version=17\n\
         classname=RootPlugin\n"
    );
    write(&root.join("plugin-descriptor.properties"), &descriptor)?;
    let native = home.join("lib/platform/linux-x64");
    if let Some(zstd) = ZSTD.iter().map(Path::new).find(|path| path.exists()) {
        link(zstd, &native.join("libzstd.so"))?;
    }
    let vectors = parts.join("libvec.so");
    if vectors.exists() {
        link(&vectors, &native.join("libvec.so"))?;
    }
    Ok(())
}

fn command(options: &ElasticsearchOptions, home: &Path, parts: &Path) -> Command {
    let mut command = java("java");
    command.arg(format!("-Xms{}", options.heap)).arg(format!("-Xmx{}", options.heap));
    command.arg(format!("-Djava.io.tmpdir={}", home.join("tmp").display()));
    command.args([
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Xss1m",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        "-Dlog4j2.disable.jmx=true",
        "-Dlog4j2.formatMsgNoLookups=true",
        "-Djava.locale.providers=CLDR",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.recycler.maxCapacityPerThread=0",
        "-Dio.netty.allocator.numDirectArenas=0",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
    ]);
    let class_path = format!("{}:{}", parts.join("classes-Main").display(), parts.join("boot/*").display());
    command.arg("-cp").arg(class_path).arg("Main").arg(home);
    command
}

fn create(path: &Path) -> Result<(), ServiceError> {
    std::fs::create_dir_all(path).map_err(ServiceError::io("create", path))
}

fn link(target: &Path, path: &Path) -> Result<(), ServiceError> {
    symlink(target, path).map_err(ServiceError::io("link", path))
}
