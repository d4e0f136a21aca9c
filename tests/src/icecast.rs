//! A real Icecast server, and ffmpeg as what feeds it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::http::PlayerClient;
use crate::media::Format;
use crate::netns::Host;
use crate::program::{Signal, send};
use crate::wait::{PATIENCE, required, wait_until};

/// Where one listens that has a host to itself.
const HOST_PORT: u16 = 8000;
/// Of those that feed mounts.
const PASSWORD: &str = "for-tests-only";
/// How often a port is tried that turns out to be taken.
const START_ATTEMPTS: usize = 5;
/// How long a server may take to start to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take over the answer to one question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is looked at.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// Ports of servers: the first and how many. Linux gives ports from 32768 on to
/// those who don't ask for one.
const QUIET_PORTS: (u16, u16) = (20_000, 12_000);

/// An Icecast of our own on loopback. Dropping it kills it.
#[derive(Debug)]
pub struct Icecast {
    child: Child,
    addr: SocketAddr,
    folder: TempDir,
}

/// An ffmpeg that feeds a file to a mount as fast as it plays. Dropping it
/// kills it.
#[derive(Debug)]
pub struct Feed {
    child: Child,
}

impl Icecast {
    /// Starts one with its defaults (64 KiB burst on connect); waits until it
    /// answers.
    ///
    /// # Panics
    ///
    /// If it is not installed or does not start.
    pub fn start() -> Icecast {
        let mut log = String::new();
        for _ in 0..START_ATTEMPTS {
            let mut icecast = Icecast::launch(quiet_addr(), None);
            let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
            let mut up = false;
            let _ = wait_until(START_PATIENCE, || {
                up = icecast.answers();
                up || ended(&mut icecast.child)
            });
            if up {
                return icecast;
            }
            log = icecast.log();
        }
        panic!("icecast2 does not start: {log}");
    }

    /// Starts one on a host of a network of namespaces.
    ///
    /// # Panics
    ///
    /// If it is not installed.
    pub fn start_on(host: &Host) -> Icecast {
        Icecast::launch(SocketAddr::new(host.address, HOST_PORT), Some(host))
    }

    fn launch(addr: SocketAddr, host: Option<&Host>) -> Icecast {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It may give up its rights and has to write its logs nevertheless.
        let everyone = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path(), everyone).expect("our own folder");
        let config = folder.path().join("icecast.xml");
        fs::write(&config, config_xml(addr, folder.path())).expect("our own folder");
        let mut command = required("icecast2", "icecast2");
        if let Some(host) = host {
            command = host.command(command.get_program().to_str().expect("plain"));
        }
        let child = command
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("icecast2 can be executed");
        Icecast { child, addr, folder }
    }

    /// Whether it is this very server that answers at its port.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.addr) else { return false };
        let mut answer = Vec::new();
        let asked = stream.set_read_timeout(Some(ANSWER_PATIENCE)).is_ok()
            && stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok();
        // As much as comes: an error at the end takes nothing of it away.
        let _ = asked && stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).is_ok();
        let server = format!("Server: {}\r\n", server_id(self.addr));
        String::from_utf8_lossy(&answer).contains(&server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Address of a mount.
    pub fn url(&self, mount: &str) -> String {
        format!("http://{}{mount}", self.addr)
    }

    /// Feeds `file` to `mount`, bit by bit as it is, at the pace of its media;
    /// waits until listeners get it. At its end the file begins again.
    pub fn mount_source(&self, mount: &str, format: Format, file: &Path) -> Feed {
        let feed = Feed::start(self.addr, mount, format, file, None);
        self.wait_mount(mount);
        feed
    }

    /// Like [`Icecast::mount_source`], on the host of the server; does not
    /// wait.
    pub fn mount_source_on(&self, host: &Host, mount: &str, format: Format, file: &Path) -> Feed {
        Feed::start(self.addr, mount, format, file, Some(host))
    }

    /// A listener of a mount, without anything of ours between.
    pub fn listen(&self, mount: &str) -> PlayerClient {
        PlayerClient::get(self.addr, mount)
    }

    /// Gives what a mount plays a title, as source clients do; `song` as it
    /// stands in an address.
    pub fn set_title(&self, mount: &str, song: &str) {
        let query = format!("/admin/metadata?mode=updinfo&mount={mount}&song={song}");
        // "source" and the password, in base 64.
        let request = format!(
            "GET {query} HTTP/1.0\r\nAuthorization: Basic {}\r\n\r\n",
            base64(format!("source:{PASSWORD}").as_bytes())
        );
        let mut stream = TcpStream::connect(self.addr).expect("it listens");
        stream.write_all(request.as_bytes()).expect("a request fits");
        let mut answer = String::new();
        let _ = stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer);
        assert!(answer.contains(" 200 "), "no title for {mount}: {answer}");
    }

    /// What it has to say.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    fn wait_mount(&self, mount: &str) {
        let there = wait_until(PATIENCE, || {
            let listener = self.listen(mount);
            let _ = wait_until(Duration::from_secs(5), || {
                listener.len() > 4096 || listener.end().is_some()
            });
            listener.head().is_some_and(|head| head.contains(" 200 "))
        });
        assert!(there, "nothing at {mount}: {}", self.log());
    }
}

impl Drop for Icecast {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Feed {
    fn start(
        icecast: SocketAddr,
        mount: &str,
        format: Format,
        file: &Path,
        host: Option<&Host>,
    ) -> Feed {
        let mut command = required("ffmpeg", "ffmpeg");
        if let Some(host) = host {
            command = host.command("ffmpeg");
        }
        command.args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"]);
        command.arg(file).args(["-map", "0", "-c", "copy"]);
        command.args(format.muxer()).args(["-content_type", format.content_type()]);
        command.arg(format!("icecast://source:{PASSWORD}@{icecast}{mount}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Feed { child: command.spawn().expect("ffmpeg can be executed") }
    }

    /// Dies at once.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Freezes, or goes on ([`Signal::Stop`], [`Signal::Cont`]).
    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit > group.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

/// A loopback address whose port the kernel gives to nobody by itself, so that
/// no socket of another test takes it before a server does.
fn quiet_addr() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let begin = (std::process::id() % u32::from(QUIET_PORTS.1)) as u16;
    for _ in 0..QUIET_PORTS.1 {
        let offset = begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % QUIET_PORTS.1;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, QUIET_PORTS.0 + offset));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no port is free");
}

/// What a server says to be: no other one at this port does.
fn server_id(addr: SocketAddr) -> String {
    format!("Icecast of test {} at {}", std::process::id(), addr.port())
}

fn config_xml(addr: SocketAddr, folder: &Path) -> String {
    // Icecast refuses to run as root.
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let owner = if is_root {
        "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"
    } else {
        ""
    };
    let (ip, port, folder) = (addr.ip(), addr.port(), folder.display());
    let server_id = server_id(addr);
    format!(
        "<icecast>
  <location>loopback</location><admin>nobody@localhost</admin><hostname>localhost</hostname>
  <server-id>{server_id}</server-id>
  <limits><clients>200</clients><sources>10</sources><queue-size>524288</queue-size>
    <client-timeout>30</client-timeout><header-timeout>15</header-timeout>
    <source-timeout>10</source-timeout><burst-size>65535</burst-size></limits>
  <authentication><source-password>{PASSWORD}</source-password>
    <relay-password>{PASSWORD}</relay-password>
    <admin-user>admin</admin-user><admin-password>{PASSWORD}</admin-password></authentication>
  <listen-socket><port>{port}</port><bind-address>{ip}</bind-address></listen-socket>
  <http-headers><header name=\"Access-Control-Allow-Origin\" value=\"*\"/></http-headers>
  <fileserve>0</fileserve>
  <paths><basedir>{folder}</basedir><logdir>{folder}</logdir><webroot>{folder}</webroot>
    <adminroot>{folder}</adminroot></paths>
  <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog>
    <loglevel>3</loglevel></logging>
  <security><chroot>0</chroot>{owner}</security>
</icecast>\n"
    )
}
