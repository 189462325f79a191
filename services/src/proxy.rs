//! A TCP proxy that breaks connections in the ways that networks do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::ServiceError;
use crate::ports::free_port;

/// How soon a connection notices what it is to do.
const LOOK_DELAY: Duration = Duration::from_millis(20);
const CHUNK_BYTES: usize = 16 << 10;
/// With a rate, so many chunks go through a second, each smaller.
const CHUNKS_A_SECOND: usize = 20;

/// Stands between clients and a server on the loopback address. At first, and after [`Proxy::heal`], everything goes through.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    traffic: Traffic,
    /// Connections of an earlier generation end, in this way.
    generation: u64,
    ending: Ending,
    is_dropped: bool,
}

/// What goes through.
#[derive(Clone, Copy, Debug, Default)]
enum Traffic {
    #[default]
    All,
    /// Connections are closed as soon as they are made.
    None,
    /// Connections stay, and nothing passes.
    Stuck,
    /// So many bytes a second in each direction of each connection.
    Slow(usize),
    /// Of what the server says on a connection only the first bytes; then the connection is closed.
    Beginning(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Close,
    Reset,
}

impl Proxy {
    /// A proxy on a free port.
    ///
    /// # Errors
    /// If no port is free.
    pub fn to(server: SocketAddr) -> Result<Self, ServiceError> {
        Proxy::listen(free_port()?, server)
    }

    /// A proxy on this port.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn listen(port: u16, server: SocketAddr) -> Result<Self, ServiceError> {
        let listen = || {
            let listener = TcpListener::bind(("127.0.0.1", port))?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(ServiceError::io("listen on", format!("127.0.0.1:{port}")))?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || accept(&listener, server, &shared));
        Ok(Proxy { address, state })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything goes through again.
    pub fn heal(&self) {
        self.state().traffic = Traffic::All;
    }

    /// Closes all connections, and every new one at once.
    pub fn cut(&self) {
        self.state().traffic = Traffic::None;
        self.end_all(Ending::Close);
    }

    /// Resets all connections (RST). New ones are as before.
    pub fn reset(&self) {
        self.end_all(Ending::Reset);
    }

    /// Lets nothing pass, and keeps connections open.
    pub fn stick(&self) {
        self.state().traffic = Traffic::Stuck;
    }

    /// Lets at most so many bytes a second pass, in each direction of each connection.
    pub fn slow(&self, bytes_a_second: usize) {
        self.state().traffic = Traffic::Slow(bytes_a_second);
    }

    /// Of what the server says on a connection lets only the first bytes pass, from now on, and then closes it.
    pub fn cut_answers_after(&self, bytes: usize) {
        self.end_all(Ending::Close);
        self.state().traffic = Traffic::Beginning(bytes);
    }

    fn end_all(&self, ending: Ending) {
        let mut state = self.state();
        state.generation += 1;
        state.ending = ending;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end_all(Ending::Close);
        self.state().is_dropped = true;
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, state: &Arc<Mutex<State>>) {
    loop {
        let now = look(state);
        if now.is_dropped {
            return;
        }
        match listener.accept() {
            Ok((client, _)) if !matches!(now.traffic, Traffic::None) => {
                // A server that is not there looks to the client like a connection that is closed.
                let _ = connect(client, server, now.generation, state);
            }
            Ok(_) => {}
            Err(_) => thread::sleep(LOOK_DELAY),
        }
    }
}

fn connect(client: TcpStream, server: SocketAddr, generation: u64, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nonblocking(false)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_DELAY))?;
    }
    let pairs = [(client.try_clone()?, server.try_clone()?, false), (server, client, true)];
    for (from, to, is_answer) in pairs {
        let pump = Pump { from, to, is_answer, passed_bytes: 0, generation, state: state.clone() };
        thread::spawn(move || pump.run());
    }
    Ok(())
}

fn look(state: &Mutex<State>) -> State {
    *state.lock().expect("nothing panics while it holds the lock")
}

/// One direction of a connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    is_answer: bool,
    passed_bytes: usize,
    generation: u64,
    state: Arc<Mutex<State>>,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; CHUNK_BYTES];
        // An error of one side ends the other one, too.
        while let Ok(true) = self.step(&mut buffer) {}
        let now = look(&self.state);
        let is_reset = now.generation != self.generation && now.ending == Ending::Reset;
        for stream in [&self.from, &self.to] {
            if is_reset {
                // Then the last one that closes it sends a reset; shutting it down would say an orderly goodbye before.
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            } else {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Passes one chunk on; says whether to go on.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let most = match self.wait_for_traffic() {
            Some(Traffic::Slow(rate)) => (rate / CHUNKS_A_SECOND).clamp(1, buffer.len()),
            Some(_) => buffer.len(),
            None => return Ok(false),
        };
        let read = match self.from.read(&mut buffer[..most]) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(true),
            Err(error) => return Err(error),
        };
        // It may have changed while this waited.
        let Some(traffic) = self.wait_for_traffic() else { return Ok(false) };
        let passes = match traffic {
            Traffic::Beginning(bytes) if self.is_answer => read.min(bytes.saturating_sub(self.passed_bytes)),
            _ => read,
        };
        self.to.write_all(&buffer[..passes])?;
        self.passed_bytes += passes;
        if matches!(traffic, Traffic::Slow(_)) {
            thread::sleep(Duration::from_secs(1) / CHUNKS_A_SECOND as u32);
        }
        Ok(passes == read)
    }

    /// What may pass now; `None` if the connection is to end. Waits while nothing may.
    fn wait_for_traffic(&self) -> Option<Traffic> {
        loop {
            let now = look(&self.state);
            if now.generation != self.generation {
                return None;
            }
            match now.traffic {
                Traffic::Stuck => thread::sleep(LOOK_DELAY),
                Traffic::None => return None,
                traffic => return Some(traffic),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that sends back what it gets, behind a proxy.
    fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap()).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut { stream }));
            }
        });
        proxy
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn echoed(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
        stream.write_all(&vec![7; bytes])?;
        stream.read_exact(&mut vec![0; bytes])
    }

    #[test]
    fn a_proxy_passes_everything_on_until_it_is_cut_and_again_when_it_is_healed() {
        let proxy = echo();
        let mut stream = client(&proxy);
        echoed(&mut stream, 100_000).unwrap();
        proxy.cut();
        assert!(echoed(&mut stream, 10).is_err());
        assert!(echoed(&mut client(&proxy), 10).is_err());
        proxy.heal();
        echoed(&mut client(&proxy), 10).unwrap();
    }

    #[test]
    fn a_reset_is_seen_as_one_and_new_connections_work() {
        let proxy = echo();
        let mut stream = client(&proxy);
        echoed(&mut stream, 10).unwrap();
        proxy.reset();
        let error = stream.read_exact(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        echoed(&mut client(&proxy), 10).unwrap();
    }

    #[test]
    fn a_slow_proxy_takes_its_time_and_a_stuck_one_passes_nothing() {
        let proxy = echo();
        let mut stream = client(&proxy);
        proxy.slow(10_000);
        let start = Instant::now();
        echoed(&mut stream, 5_000).unwrap();
        assert!(start.elapsed() > Duration::from_millis(300), "took {:?}", start.elapsed());
        proxy.stick();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(echoed(&mut stream, 1).is_err());
        proxy.heal();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn an_answer_can_be_cut_in_its_middle() {
        let proxy = echo();
        proxy.cut_answers_after(6);
        let mut stream = client(&proxy);
        stream.write_all(b"half an answer").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"half a");
    }
}
