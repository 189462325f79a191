//! Listens, and says where.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::Failure;

/// Serves each connection on a thread of its own, for as long as the process lives. Prints the port.
pub fn serve(connection: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port() }));
    for stream in listener.incoming() {
        let (stream, connection) = (stream?, connection.clone());
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            // A client that goes away ends its connection, and nothing else.
            let _ = connection(stream);
        });
    }
    Ok(())
}
