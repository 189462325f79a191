//! OpenSearch: one node, without security and without the plugins of its distribution (no scripts, no vectors).

use std::net::SocketAddr;
use std::path::Path;

use crate::fetch::{Parts, fetch, java, run_java, write};
use crate::ports::free_port;
use crate::server::{Recipe, Server};
use crate::{ServiceError, temporary};

const POM: &str = include_str!("../opensearch/pom.xml");
const MAIN: &str = include_str!("../opensearch/Main.java");
/// The same words as Elasticsearch's.
const LOGGING: &str = include_str!("../elasticsearch/log4j2.properties");

/// What it says when indices of an earlier start are back, too.
const READY: &str = "recovered [";

/// A running node. Killed when dropped.
pub struct OpenSearch {
    server: Server,
}

impl OpenSearch {
    /// Fetches what is missing, starts a node, and waits until it is ready.
    ///
    /// # Errors
    /// If Java or Maven are missing, or it does not start.
    pub fn start() -> Result<Self, ServiceError> {
        let parts = fetch(&Parts { name: "opensearch", pom: POM, sources: &[MAIN], make })?;
        let directory = temporary("opensearch")?;
        let (port, transport_port) = (free_port()?, free_port()?);
        let home = directory.path();
        for name in ["config", "data", "logs"] {
            let path = home.join(name);
            std::fs::create_dir_all(&path).map_err(ServiceError::io("create", path))?;
        }
        let settings = format!(
            "cluster.name: flowstone-test\nnode.name: node-{port}\nnetwork.host: 127.0.0.1\nhttp.port: {port}\n\
             transport.port: {transport_port}\ndiscovery.type: single-node\n\
             cluster.routing.allocation.disk.threshold_enabled: false\n"
        );
        write(&home.join("config/opensearch.yml"), &settings)?;
        write(&home.join("config/log4j2.properties"), LOGGING)?;
        let mut command = java("java");
        command.args(["-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true", "-Dlog4j2.disable.jmx=true"]);
        let class_path = format!("{}:{}", parts.join("classes").display(), parts.join("lib/*").display());
        command.arg("-cp").arg(class_path).arg("Main").arg(home);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let recipe = Recipe { name: "OpenSearch".to_owned(), command, ready_line: READY, address };
        let mut server = Server::new(directory, recipe);
        server.launch()?;
        server.wait_ready()?;
        Ok(OpenSearch { server })
    }

    /// Where it listens for HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

/// Compiles what starts the server.
fn make(draft: &Path) -> Result<(), ServiceError> {
    let path = draft.join("Main.java");
    write(&path, MAIN)?;
    let mut javac = java("javac");
    javac.args(["-nowarn", "--release", "17", "-cp"]).arg(draft.join("lib").join("*"));
    javac.arg("-d").arg(draft.join("classes")).arg(&path);
    run_java(javac, "compiling what starts OpenSearch")
}
