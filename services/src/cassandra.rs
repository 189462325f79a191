//! Cassandra: one node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::fetch::{Parts, fetch, jars, java, write};
use crate::ports::free_port;
use crate::server::{Recipe, Server};
use crate::{ServiceError, temporary};

const POM: &str = include_str!("../cassandra/pom.xml");
const LOGGING: &str = include_str!("../cassandra/logback.xml");
/// What Cassandra's own start script opens of the JDK, for version 17.
const OPENED: &str = include_str!("../cassandra/jvm.options");

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct CassandraOptions {
    /// Whether it wants a password: `cassandra` for the user `cassandra`. The user may be there only a moment after the start.
    pub passwords: bool,
    /// Further lines of `cassandra.yaml`.
    pub yaml: String,
    /// The heap.
    pub heap: &'static str,
}

impl Default for CassandraOptions {
    fn default() -> Self {
        CassandraOptions { passwords: false, yaml: String::new(), heap: "512m" }
    }
}

/// A running node. Killed when dropped.
pub struct Cassandra {
    server: Server,
}

impl Cassandra {
    /// Fetches what is missing, starts a node, and waits until it is ready.
    ///
    /// # Errors
    /// If Java or Maven are missing, or it does not start.
    pub fn start(options: &CassandraOptions) -> Result<Self, ServiceError> {
        let parts = Parts { name: "cassandra", pom: POM, sources: &[], make: |_| Ok(()) };
        let lib = fetch(&parts)?.join("lib");
        let directory = temporary("cassandra")?;
        let (port, storage_port) = (free_port()?, free_port()?);
        let home = directory.path();
        for name in ["conf", "tmp"] {
            let path = home.join(name);
            std::fs::create_dir_all(&path).map_err(ServiceError::io("create", path))?;
        }
        write(&home.join("conf/cassandra.yaml"), &settings(options, home, port, storage_port))?;
        write(&home.join("conf/logback.xml"), LOGGING)?;
        let command = command(options, home, &lib)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let ready_line = "Starting listening for CQL clients";
        let mut server = Server::new(directory, Recipe { name: "Cassandra".to_owned(), command, ready_line, address });
        server.launch()?;
        server.wait_ready()?;
        Ok(Cassandra { server })
    }

    /// Where it listens for CQL.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`Cassandra::kill`], with its data, on its port.
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

fn command(options: &CassandraOptions, home: &Path, lib: &Path) -> Result<std::process::Command, ServiceError> {
    let mut command = java("java");
    command.arg(format!("-Xms{}", options.heap)).arg(format!("-Xmx{}", options.heap));
    command.args(OPENED.split_whitespace());
    for agent in jars(lib, &["jamm-"])? {
        command.arg(format!("-javaagent:{}", agent.display()));
    }
    let home = home.display();
    command.args([
        format!("-Djava.io.tmpdir={home}/tmp"),
        format!("-Djna.tmpdir={home}/tmp"),
        format!("-Dcassandra.storagedir={home}"),
        format!("-Dcassandra.logdir={home}"),
        format!("-Dcassandra.config=file://{home}/conf/cassandra.yaml"),
        format!("-Dlogback.configurationFile={home}/conf/logback.xml"),
    ]);
    command.arg("-cp").arg(format!("{home}/conf:{}", lib.join("*").display()));
    command.arg("org.apache.cassandra.service.CassandraDaemon");
    Ok(command)
}

fn settings(options: &CassandraOptions, home: &Path, port: u16, storage_port: u16) -> String {
    let authenticator = if options.passwords { "PasswordAuthenticator" } else { "AllowAllAuthenticator" };
    let (home, more) = (home.display(), &options.yaml);
    format!(
        "\
cluster_name: flowstone-test
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
storage_port: {storage_port}
start_native_transport: true
rpc_address: 127.0.0.1
native_transport_port: {port}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: \"127.0.0.1:{storage_port}\"
data_file_directories:
  - {home}/data
commitlog_directory: {home}/commitlog
saved_caches_directory: {home}/saved_caches
hints_directory: {home}/hints
cdc_raw_directory: {home}/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_segment_size: 16MiB
concurrent_reads: 16
concurrent_writes: 32
auto_snapshot: false
disk_failure_policy: stop
commit_failure_policy: stop
memtable_heap_space: 128MiB
memtable_offheap_space: 64MiB
file_cache_size: 64MiB
networking_cache_size: 16MiB
key_cache_size: 16MiB
authenticator: {authenticator}
authorizer: AllowAllAuthorizer
role_manager: CassandraRoleManager
{more}
"
    )
}
