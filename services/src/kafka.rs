//! Kafka: one broker or a cluster, each node broker and controller in one.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fetch::{Parts, fetch, java, run_java, write};
use crate::ports::free_port;
use crate::proxy::Proxy;
use crate::server::{Recipe, Server};
use crate::{ServiceError, temporary};

const POM: &str = include_str!("../kafka/pom.xml");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");
/// What brokers do every minute, or after half of one, they do here at once.
const QUICK: &str = "\
offsets.topic.num.partitions=4
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
";
const STORE_PASSWORD: &str = "flowstone-test";

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// How many nodes, at least one.
    pub nodes: u16,
    /// Whether there is a second listener with a [`Proxy`] before each node; see [`Kafka::proxied`].
    pub proxied: bool,
    /// A user and a password: there is another listener then that wants them (SASL/PLAIN); see [`Kafka::sasl`].
    pub user: Option<(String, String)>,
    /// The certificate of another listener, with TLS, if there is one; see [`Kafka::tls`].
    pub tls: Option<Certificate>,
    /// Further lines of `server.properties`.
    pub properties: String,
    /// The heap of each node.
    pub heap: &'static str,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        KafkaOptions { nodes: 1, proxied: false, user: None, tls: None, properties: String::new(), heap: "512m" }
    }
}

/// A certificate that is valid for `localhost` and `127.0.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// For years to come.
    Valid,
    /// Until yesterday.
    Expired,
}

/// A running cluster. Killed when dropped.
pub struct Kafka {
    nodes: Vec<Node>,
    certificate: Option<PathBuf>,
}

struct Node {
    server: Server,
    proxy: Option<Proxy>,
    sasl: Option<u16>,
    tls: Option<u16>,
}

/// The ports of a node.
struct Ports {
    plain: u16,
    controller: u16,
    proxied: Option<(u16, u16)>,
    sasl: Option<u16>,
    tls: Option<u16>,
}

impl Kafka {
    /// Fetches what is missing, starts the cluster, and waits until all nodes are ready.
    ///
    /// # Errors
    /// If Java or Maven are missing, or a node does not start.
    ///
    /// # Panics
    /// If the options have no node.
    pub fn start(options: &KafkaOptions) -> Result<Self, ServiceError> {
        assert!(options.nodes > 0, "a cluster has a node");
        let parts = Parts { name: "kafka", pom: POM, sources: &[], make: |_| Ok(()) };
        let lib = fetch(&parts)?.join("lib");
        let mut made = Vec::new();
        for id in 1..=options.nodes {
            made.push((id, Ports::choose(options)?));
        }
        let voters: Vec<String> =
            made.iter().map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller)).collect();
        let voters = voters.join(",");
        let mut kafka = Kafka { nodes: Vec::new(), certificate: None };
        let mut store = None;
        for (id, ports) in made {
            let directory = temporary("kafka")?;
            if let Some(certificate) = options.tls.filter(|_| store.is_none()) {
                store = Some(key_store(directory.path(), certificate)?);
                kafka.certificate = Some(directory.path().join("server.pem"));
            }
            let proxy = match ports.proxied {
                Some((target, listen)) => Some(Proxy::listen(listen, SocketAddr::from(([127, 0, 0, 1], target)))?),
                None => None,
            };
            let properties = properties(id, &ports, &voters, options, directory.path(), store.as_deref());
            let (sasl, tls) = (ports.sasl, ports.tls);
            let server = prepare(directory, &lib, id, ports.plain, &properties, options.heap)?;
            kafka.nodes.push(Node { server, proxy, sasl, tls });
        }
        // A node of several is ready only once others are there.
        for node in &mut kafka.nodes {
            node.server.launch()?;
        }
        for node in &mut kafka.nodes {
            node.server.wait_ready()?;
        }
        Ok(kafka)
    }

    /// `host:port` of all nodes, separated by commas: librdkafka's `bootstrap.servers`.
    pub fn brokers(&self) -> String {
        join(self.nodes.iter().map(|node| node.server.address().port()))
    }

    /// The same, through the proxies.
    ///
    /// # Panics
    /// Without [`KafkaOptions::proxied`].
    pub fn proxied(&self) -> String {
        join((0..self.nodes.len()).map(|node| self.proxy(node).address().port()))
    }

    /// The same, for users with a password.
    ///
    /// # Panics
    /// Without [`KafkaOptions::user`].
    pub fn sasl(&self) -> String {
        join(self.nodes.iter().map(|node| node.sasl.expect("started with a user")))
    }

    /// The same, with TLS.
    ///
    /// # Panics
    /// Without [`KafkaOptions::tls`].
    pub fn tls(&self) -> String {
        join(self.nodes.iter().map(|node| node.tls.expect("started with TLS")))
    }

    /// The certificate of all nodes, in PEM: librdkafka's `ssl.ca.location`.
    ///
    /// # Panics
    /// Without [`KafkaOptions::tls`].
    pub fn certificate(&self) -> &Path {
        self.certificate.as_deref().expect("started with TLS")
    }

    /// The proxy before a node, counted from 0.
    ///
    /// # Panics
    /// Without [`KafkaOptions::proxied`].
    pub fn proxy(&self, node: usize) -> &Proxy {
        self.nodes[node].proxy.as_ref().expect("started with proxies")
    }

    /// The id by which the cluster knows a node, counted from 0.
    pub fn id(&self, node: usize) -> i32 {
        i32::try_from(node).expect("few nodes") + 1
    }

    /// Kills a node, counted from 0, at once.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].server.kill();
    }

    /// Starts a node again that was killed, with its data, on its ports.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self, node: usize) -> Result<(), ServiceError> {
        let server = &mut self.nodes[node].server;
        server.launch()?;
        server.wait_ready()
    }

    /// Lets a node stand still, connected as it is (SIGSTOP).
    pub fn freeze(&self, node: usize) {
        self.nodes[node].server.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self, node: usize) {
        self.nodes[node].server.thaw();
    }

    /// The log of a node, counted from 0.
    pub fn log(&self, node: usize) -> PathBuf {
        self.nodes[node].server.log()
    }
}

impl Ports {
    fn choose(options: &KafkaOptions) -> Result<Self, ServiceError> {
        let optional = |wanted: bool| wanted.then(free_port).transpose();
        let (plain, controller) = (free_port()?, free_port()?);
        let proxied = optional(options.proxied)?.zip(optional(options.proxied)?);
        let (sasl, tls) = (optional(options.user.is_some())?, optional(options.tls.is_some())?);
        Ok(Ports { plain, controller, proxied, sasl, tls })
    }
}

fn join(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

fn prepare(
    directory: TempDir,
    lib: &Path,
    id: u16,
    port: u16,
    properties: &str,
    heap: &str,
) -> Result<Server, ServiceError> {
    let path = directory.path().join("server.properties");
    write(&path, properties)?;
    let logging = directory.path().join("log4j2.properties");
    write(&logging, LOGGING)?;
    let base = |options: &[&str]| {
        let mut command = java("java");
        command.args(options).arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        command.arg("-cp").arg(lib.join("*"));
        command
    };
    let mut format = base(&["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    format.args(["kafka.tools.StorageTool", "format", "-t", "Rmxvd3N0b25lVGVzdHMwMA", "-c"]).arg(&path);
    format.arg("--ignore-formatted");
    run_java(format, "formatting the directory of a Kafka node")?;
    let (most, least) = (format!("-Xmx{heap}"), format!("-Xms{heap}"));
    let mut command = base(&[&most, &least, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true"]);
    command.arg("kafka.Kafka").arg(&path);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let recipe = Recipe { name: format!("Kafka node {id}"), command, ready_line: "Kafka Server started", address };
    Ok(Server::new(directory, recipe))
}

fn properties(
    id: u16,
    ports: &Ports,
    voters: &str,
    options: &KafkaOptions,
    directory: &Path,
    store: Option<&Path>,
) -> String {
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", ports.plain);
    let mut advertised = listeners.clone();
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    let mut more = String::new();
    let mut add = |name: &str, protocol: &str, listen: u16, advertise: u16| {
        let _ = write!(listeners, ",{name}://127.0.0.1:{listen}");
        let _ = write!(advertised, ",{name}://127.0.0.1:{advertise}");
        let _ = write!(protocols, ",{name}:{protocol}");
    };
    if let Some((target, listen)) = ports.proxied {
        add("PROXIED", "PLAINTEXT", target, listen);
    }
    if let (Some(port), Some((user, password))) = (ports.sasl, &options.user) {
        add("SASLP", "SASL_PLAINTEXT", port, port);
        let _ = write!(
            more,
            "sasl.enabled.mechanisms=PLAIN\nlistener.name.saslp.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.saslp.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
             required user_{user}=\"{password}\";\n"
        );
    }
    if let (Some(port), Some(store)) = (ports.tls, store) {
        add("TLS", "SSL", port, port);
        let _ = write!(
            more,
            "listener.name.tls.ssl.keystore.type=PKCS12\nlistener.name.tls.ssl.keystore.location={}\n\
             listener.name.tls.ssl.keystore.password={STORE_PASSWORD}\n\
             listener.name.tls.ssl.key.password={STORE_PASSWORD}\n",
            store.display()
        );
    }
    let copies = options.nodes.min(3);
    format!(
        "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\nlisteners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={advertised}\nlistener.security.protocol.map={protocols}\n\
         inter.broker.listener.name=PLAINTEXT\nlog.dirs={logs}\noffsets.topic.replication.factor={copies}\n\
         transaction.state.log.replication.factor={copies}\nshare.coordinator.state.topic.replication.factor={copies}\n\
         {QUICK}{more}{}\n",
        options.properties,
        controller = ports.controller,
        logs = directory.join("logs").display(),
    )
}

/// A key with a certificate that it has signed itself, in `server.p12`, and the certificate alone in `server.pem`.
fn key_store(directory: &Path, certificate: Certificate) -> Result<PathBuf, ServiceError> {
    let store = directory.join("server.p12");
    let keytool = |command: &str| {
        let mut keytool = java("keytool");
        keytool.args([command, "-storetype", "PKCS12", "-alias", "server", "-storepass", STORE_PASSWORD, "-keystore"]);
        keytool.arg(&store);
        keytool
    };
    let mut generate = keytool("-genkeypair");
    let (begins, days) = match certificate {
        Certificate::Valid => ("-1d", "3650"),
        Certificate::Expired => ("-30d", "29"),
    };
    generate.args(["-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=localhost"]);
    generate.args(["-startdate", begins, "-validity", days]);
    generate.args(["-ext", "san=dns:localhost,ip:127.0.0.1"]);
    run_java(generate, "making a key")?;
    let mut export = keytool("-exportcert");
    export.arg("-rfc").arg("-file").arg(directory.join("server.pem"));
    run_java(export, "writing a certificate")?;
    Ok(store)
}
