//! Two spaces joined by a pair of devices, and traffic between them. Sockets are opened by threads
//! that enter a space, and used from the test: nothing is sent outside of the spaces.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, setns};

use crate::space::Space;

/// Room for datagrams that were not read yet, bytes.
const ROOM: usize = 32 << 20;

/// Two spaces and the wire between them. The device is called `wire` at both ends.
#[derive(Debug)]
pub struct Wire {
    pub near: Space,
    pub far: Space,
}

/// Addresses of the ends.
pub const NEAR: [&str; 2] = ["10.77.0.1", "fd77::1"];
pub const FAR: [&str; 2] = ["10.77.0.2", "fd77::2"];

impl Wire {
    pub fn new() -> anyhow::Result<Wire> {
        let wire = Wire { near: Space::new()?, far: Space::new()? };
        let far = wire.far.pid().to_string();
        let add = ["ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &far];
        // From outside of its process namespace, where the other one's pid is known.
        let added = inside(&wire.near, || Ok(Command::new(add[0]).args(&add[1..]).output()?))?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        for (space, addresses) in [(&wire.near, NEAR), (&wire.far, FAR)] {
            // Without an address that turns up when it has been found to be unique.
            space.run(["ip", "link", "set", "wire", "addrgenmode", "none"])?;
            space.run(["ip", "addr", "add", &format!("{}/24", addresses[0]), "dev", "wire"])?;
            space.run(["ip", "addr", "add", &format!("{}/64", addresses[1]), "dev", "wire", "nodad"])?;
            space.run(["ip", "link", "set", "wire", "up"])?;
        }
        wire.round_trips(FAR[0], 1)?;
        wire.round_trips(FAR[1], 1)?;
        Ok(wire)
    }

    /// The times of round trips of datagrams, one after the other, milliseconds.
    pub fn round_trips(&self, far: &str, count: usize) -> anyhow::Result<Vec<f64>> {
        let (socket, echo) = self.datagrams(far)?;
        let patience = Some(Duration::from_secs(2));
        socket.set_read_timeout(patience)?;
        echo.set_read_timeout(patience)?;
        let echoing = std::thread::spawn(move || {
            hurry();
            let mut buffer = [0; 64];
            for _ in 0..count {
                let Ok((length, from)) = echo.recv_from(&mut buffer) else { break };
                let _ = echo.send_to(&buffer[..length], from);
            }
        });
        let asking = std::thread::spawn(move || {
            hurry();
            let mut times = Vec::new();
            for number in 0..count {
                let start = now();
                socket.send(&number.to_be_bytes())?;
                socket.recv(&mut [0; 64]).with_context(|| format!("answer {number} of {count}"))?;
                times.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(times)
        });
        let times = asking.join().ok().context("a panic")?;
        let _ = echoing.join();
        times
    }

    /// Sends numbered datagrams from far to near; gives the numbers that came, in their order.
    pub fn one_way(&self, far: &str, count: u32, patience: Duration) -> anyhow::Result<Vec<u32>> {
        let (near, far) = self.datagrams(far)?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&near, ROOM)?;
        let to = near.local_addr()?;
        let sending = std::thread::spawn(move || {
            for number in 0..count {
                let _ = far.send_to(&number.to_be_bytes(), to);
                // A device's backlog holds a thousand packets.
                if number % 64 == 63 {
                    pause(Duration::from_millis(1));
                }
            }
        });
        near.set_read_timeout(Some(patience))?;
        let mut came = Vec::new();
        let mut buffer = [0; 4];
        loop {
            match near.recv(&mut buffer) {
                Ok(_) => came.push(u32::from_be_bytes(buffer)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(error.into()),
            }
        }
        sending.join().ok().context("the sender")?;
        Ok(came)
    }

    /// A socket at the near end, connected to one at the far end.
    fn datagrams(&self, far: &str) -> anyhow::Result<(UdpSocket, UdpSocket)> {
        let near = if far == FAR[0] { NEAR[0] } else { NEAR[1] };
        let bind =
            |address: &str| UdpSocket::bind((address.parse::<IpAddr>()?, 0)).map_err(anyhow::Error::from);
        let near = inside(&self.near, || bind(near))?;
        let far = inside(&self.far, || bind(far))?;
        near.connect(far.local_addr()?)?;
        Ok((near, far))
    }

    /// How fast a connection is from near to far, or back, in Mbit/s, after it has run for a while.
    pub fn speed(
        &self,
        direction: Direction,
        address: usize,
        ramp: Duration,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let listener = inside(&self.far, || Ok(TcpListener::bind((FAR[address].parse::<IpAddr>()?, 0))?))?;
        let to = listener.local_addr()?;
        let near = self.connect(to, Duration::from_secs(5))?;
        let (far, _) = listener.accept()?;
        let (sender, mut receiver) = match direction {
            Direction::FromNear => (near, far),
            Direction::FromFar => (far, near),
        };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_until(sender, &is_over));
            let mut buffer = vec![0; 1 << 20];
            let mut count = |time: Duration| -> anyhow::Result<f64> {
                let (start, mut bytes) = (now(), 0);
                receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
                while start.elapsed() < time {
                    bytes += receiver.read(&mut buffer)?;
                }
                Ok(bytes as f64 * 8.0 / 1e6 / start.elapsed().as_secs_f64())
            };
            let speed = count(ramp).and_then(|_| count(time));
            is_over.store(true, Ordering::Relaxed);
            receiver.shutdown(std::net::Shutdown::Both)?;
            drop(receiver);
            let _ = sending.join();
            speed
        })
    }

    /// A connection from the near end.
    pub fn connect(&self, to: SocketAddr, patience: Duration) -> anyhow::Result<TcpStream> {
        inside(&self.near, || Ok(TcpStream::connect_timeout(&to, patience)?))
    }

    /// Something that accepts connections at the far end.
    pub fn listener(&self, address: &str, port: u16) -> anyhow::Result<TcpListener> {
        inside(&self.far, || Ok(TcpListener::bind((address.parse::<IpAddr>()?, port))?))
    }
}

/// Which end sends.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    FromNear,
    FromFar,
}

fn send_until(mut sender: TcpStream, is_over: &AtomicBool) {
    let bytes = vec![7; 1 << 17];
    let _ = sender.set_write_timeout(Some(Duration::from_millis(500)));
    while !is_over.load(Ordering::Relaxed) {
        match sender.write(&bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            _ => {}
        }
    }
}

/// Does something on a thread that has entered the network of a space.
pub fn inside<T: Send>(space: &Space, what: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let network = File::open(format!("/proc/{}/ns/net", space.pid()))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            what()
        });
        thread.join().ok().context("a panic inside")?
    })
}

/// Now.
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "packets travel in real time")]
    Instant::now()
}

/// Lets this thread run before all others, so that what is measured is the wire. It ends soon.
fn hurry() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let _ = Command::new("chrt").args(["--fifo", "--pid", "1", &thread]).output();
}

/// Paces a sender.
fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a sender at a pace, nothing is waited for")]
    std::thread::sleep(time);
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// Fails if the mean of round trips is not within bounds. A busy machine only ever adds to it, so of
/// up to five series one has to be right.
pub fn mean_within(
    what: &str,
    bounds: std::ops::RangeInclusive<f64>,
    mut times: impl FnMut() -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<f64>> {
    for _ in 0..4 {
        let times = times()?;
        if bounds.contains(&mean(&times)) {
            println!("{what}: {:.2} ms (wanted {:.2} to {:.2})", mean(&times), bounds.start(), bounds.end());
            return Ok(times);
        }
        println!("{what}: {:.2} ms, once more", mean(&times));
    }
    let times = times()?;
    within(what, mean(&times), bounds)?;
    Ok(times)
}

/// Fails if a figure is not within bounds; prints it.
pub fn within(what: &str, figure: f64, bounds: std::ops::RangeInclusive<f64>) -> anyhow::Result<()> {
    println!("{what}: {figure:.2} (wanted {:.2} to {:.2})", bounds.start(), bounds.end());
    ensure!(
        bounds.contains(&figure),
        "{what}: {figure:.2} is not within {:.2} to {:.2}",
        bounds.start(),
        bounds.end()
    );
    Ok(())
}
