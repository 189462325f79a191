//! An object store that speaks S3: `moto`, a server in Python that keeps objects in memory.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::fetch::{Wheels, fetch_wheels, write};
use crate::ports::free_port;
use crate::server::{Recipe, Server};
use crate::{ServiceError, temporary};

const REQUIREMENTS: &str = include_str!("../s3/requirements.txt");
const SERVE: &str = include_str!("../s3/serve.py");

/// What clients need, as environment variables: any credentials do.
const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ALLOW_HTTP", "true"),
];

const ANYBODY: &str = "authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                       SignedHeaders=host, Signature=none\r\n";

/// The variable that names the store's URL.
pub const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT";

/// A running store. It and its objects are gone when it is dropped.
pub struct ObjectStore {
    server: Server,
}

impl ObjectStore {
    /// Fetches what is missing, starts a store, and waits until it is ready.
    ///
    /// # Errors
    /// If Python is missing, or it does not start.
    pub fn start() -> Result<Self, ServiceError> {
        let python = fetch_wheels(&Wheels { name: "s3", requirements: REQUIREMENTS })?;
        let (directory, port) = (temporary("s3")?, free_port()?);
        let program = directory.path().join("serve.py");
        write(&program, SERVE)?;
        let mut command = Command::new(python.join("bin/python"));
        command.arg(program).arg(port.to_string());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let recipe = Recipe { name: "moto".to_owned(), command, ready_line: "Running on", address };
        let mut server = Server::new(directory, recipe);
        server.launch()?;
        server.wait_ready()?;
        Ok(ObjectStore { server })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The environment of its clients.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, String)> {
        let credentials = CREDENTIALS.into_iter().map(|(name, value)| (name, value.to_owned()));
        credentials.chain([(ENDPOINT_VARIABLE, self.url())])
    }
}

/// A request with credentials that mean nothing, as this store takes them; the status of the answer, or 0 if there is none.
pub fn request(url: &str, method: &str, path: &str, headers: &str) -> u16 {
    let Some(address) = url.strip_prefix("http://") else { return 0 };
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "{method} {path} HTTP/1.0\r\nhost: {address}\r\n{ANYBODY}content-length: 0\r\n{headers}\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().ok().and_then(|answer| answer.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}
